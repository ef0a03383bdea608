"""The check of the books, whole cafeterias at a time: what payments.ledger.cases derives when money moves, derived again from the rows.

A test holds the statuses here to those of that module. Each statement reads one snapshot, so that money moving meanwhile is no error.
"""

# Of an order or of a payment: what came (adjustments included), went back, and was taken back by a bank.
SUMS = """coalesce(sum(amount) FILTER (WHERE kind IN ('payment', 'adjustment')), 0) AS came,
    coalesce(-sum(amount) FILTER (WHERE kind = 'refund'), 0) AS refunded,
    coalesce(-sum(amount) FILTER (WHERE kind = 'chargeback'), 0) AS charged_back"""
CHARGES = """SELECT payment_id,
        bool_or(review NOT IN ('', 'refund_failed') AND verdict = '') AS doubtful,
        bool_or(status IN ('pending', 'in_process', 'authorized')) AS undecided,
        (array_agg(status ORDER BY created_at DESC, id DESC))[1] AS newest
    FROM public.payments_charge WHERE cafeteria_uuid = %(cafeteria)s GROUP BY payment_id"""
# `due`, came, refunded, charged_back, doubtful, undecided and newest have to be there.
STATUS = """CASE
        WHEN came > 0 AND came - refunded - charged_back >= due THEN 'paid'
        WHEN charged_back > 0 THEN 'charged_back'
        WHEN refunded > 0 THEN CASE WHEN came - refunded - charged_back <= 0 THEN 'refunded' ELSE 'partially_refunded' END
        WHEN doubtful THEN 'review'
        WHEN came = 0 AND newest = 'rejected' AND NOT undecided THEN 'failed'
        ELSE 'pending' END"""
EXAMPLES = 5

# (problem, how many, examples of orders) for each problem that there is.
ORDERS = f"""WITH entries AS (
    SELECT order_key, max(order_id) AS order_id, {SUMS}, min(currency) AS low, max(currency) AS high,
        bool_or(amount <> round(amount, %(decimals)s) OR fee <> round(fee, %(decimals)s)) AS inexact
    FROM public.payments_ledgerentry WHERE cafeteria_uuid = %(cafeteria)s GROUP BY order_key
), charges AS ({CHARGES}
), attempts AS (
    SELECT p.order_key, bool_or(coalesce(c.doubtful, false)) AS doubtful,
        (array_agg(coalesce(c.undecided, false) ORDER BY p.id DESC))[1] AS undecided, (array_agg(c.newest ORDER BY p.id DESC))[1] AS newest
    FROM public.payments_payment p LEFT JOIN charges c ON c.payment_id = p.id
    WHERE p.cafeteria_uuid = %(cafeteria)s GROUP BY p.order_key
), both_sides AS (
    SELECT o.id, o.business_date, o.number, o.payment_status, o.channel, o.total, o.paid, o.refunded AS noted, o.currency,
        o.id IS NULL AS no_order, e.order_key, e.order_id, e.low, e.high, o.total AS due,
        coalesce(e.came, 0) AS came, coalesce(e.refunded, 0) AS refunded, coalesce(e.charged_back, 0) AS charged_back,
        coalesce(a.doubtful, false) AS doubtful, coalesce(a.undecided, false) AS undecided, a.newest,
        coalesce(e.inexact, false) OR o.total <> round(o.total, %(decimals)s) OR o.tip <> round(o.tip, %(decimals)s)
            OR o.paid <> round(o.paid, %(decimals)s) OR o.refunded <> round(o.refunded, %(decimals)s) AS inexact
    FROM shop_order o FULL JOIN entries e ON e.order_key = o.secret LEFT JOIN attempts a ON a.order_key = o.secret
), told AS (SELECT subject FROM public.core_alert WHERE kind = 'payments.order_missing' AND cafeteria_uuid = %(cafeteria)s
), known AS (SELECT subject AS order_key FROM told
    UNION SELECT p.order_key FROM public.payments_charge c JOIN public.payments_payment p ON p.id = c.payment_id
    WHERE c.cafeteria_uuid = %(cafeteria)s AND c.mp_id IN (SELECT subject FROM told)
)
SELECT problem, count(*), (array_agg(example ORDER BY order_number DESC))[1:{EXAMPLES}] FROM (
    SELECT problem, coalesce(b.id, b.order_id) AS order_number,
        CASE WHEN no_order THEN 'id ' || b.order_id ELSE b.business_date || ' #' || b.number END AS example
    FROM both_sides b CROSS JOIN LATERAL (VALUES
        ('paid', NOT no_order AND paid <> came - refunded - charged_back),
        ('refunded', NOT no_order AND noted <> refunded),
        ('unbacked', NOT no_order AND payment_status = 'paid' AND total > 0 AND channel <> 'imported' AND order_key IS NULL),
        ('status', NOT no_order AND channel <> 'imported' AND payment_status <> {STATUS}),
        ('currency', NOT no_order AND order_key IS NOT NULL AND (low <> currency OR high <> currency)),
        ('decimals', inexact),
        ('no_order', no_order AND NOT EXISTS (SELECT 1 FROM known k WHERE k.order_key = b.order_key))
    ) AS checks (problem, wrong) WHERE wrong
) AS found GROUP BY problem ORDER BY problem"""  # noqa: S608

# (how many, examples of orders) of payments whose kept status is not what their rows say.
PAYMENTS = f"""WITH entries AS (
    SELECT payment_id, {SUMS} FROM public.payments_ledgerentry WHERE cafeteria_uuid = %(cafeteria)s GROUP BY payment_id
), charges AS ({CHARGES}
), facts AS (
    SELECT p.id, p.business_date, p.order_number, p.status, p.closed_at, p.amount AS due,
        coalesce(e.came, 0) AS came, coalesce(e.refunded, 0) AS refunded, coalesce(e.charged_back, 0) AS charged_back,
        coalesce(c.doubtful, false) AS doubtful, coalesce(c.undecided, false) AS undecided, c.newest
    FROM public.payments_payment p LEFT JOIN entries e ON e.payment_id = p.id LEFT JOIN charges c ON c.payment_id = p.id
    WHERE p.cafeteria_uuid = %(cafeteria)s
), derived AS (SELECT facts.*, {STATUS} AS wanted FROM facts)
SELECT count(*), (array_agg(business_date || ' #' || order_number ORDER BY id DESC))[1:{EXAMPLES}] FROM derived
WHERE status <> CASE WHEN wanted = 'pending' AND closed_at IS NOT NULL AND NOT undecided THEN 'cancelled' ELSE wanted END"""  # noqa: S608

TOTALS = """SELECT orders.count, orders.paid, entries.count, entries.amount FROM
    (SELECT count(*), coalesce(sum(paid), 0) AS paid FROM shop_order) AS orders,
    (SELECT count(*), coalesce(sum(amount), 0) AS amount FROM public.payments_ledgerentry
        WHERE cafeteria_uuid = %(cafeteria)s) AS entries"""
