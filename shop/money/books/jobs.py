from core.jobs import JobRun, Json
from shop.money.books.actions import check_all_books


def check_money(run: JobRun) -> Json:
    """Every night: whether the orders and the ledger of each cafeteria agree."""

    def watch(done: int, total: int) -> None:
        run.check_cancelled()
        run.progress(done / total, f"{done} / {total}")

    checked, wrong = 0, []
    for books in check_all_books(progress=watch):
        checked += 1
        if not books.right:
            wrong.append(books.ref.slug)
    return {"checked": checked, "wrong": len(wrong), "cafeterias": wrong[:20]}
