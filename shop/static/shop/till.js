// The till's enhancements: the change counts along, and what stands below a sheet is read again. Every page works without this file.
(() => {
  "use strict";
  const cents = (text, decimals) => {
    const [, whole, part = ""] = /^(\d*)(?:\.(\d*))?$/.exec(text) || ["", "", ""];
    return whole || part ? Number((whole || "0") + part.padEnd(decimals, "0").slice(0, decimals)) : NaN;
  };
  const written = (amount, style) => {
    const digits = String(amount).padStart(style.decimals + 1, "0");
    const whole = digits.slice(0, digits.length - style.decimals);
    const part = style.decimals ? digits.slice(-style.decimals) : "";
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, style.comma ? "." : ",");
    const shown = part && !(style.short && /^0+$/.test(part)) ? grouped + (style.comma ? "," : ".") + part : grouped;
    return `${style.symbol}\u00a0${shown}`;
  };

  // --- The change; the server counts again -------------------------------------------------------------------------------------
  const count = (form) => {
    const style = JSON.parse(form.dataset.money);
    const left = cents(form.elements.given.value, style.decimals) - cents(form.dataset.due, style.decimals);
    const known = !Number.isNaN(left);
    form.querySelector("[data-change-words]").textContent = !known ? "" : left < 0 ? form.dataset.missing : form.dataset.change;
    form.querySelector("[data-change-amount]").textContent = known ? written(Math.abs(left), style) : "";
    form.querySelector(".take-change").classList.toggle("bad", known && left < 0);
    for (const quick of form.querySelectorAll("[name=quick]")) {
      const same = cents(quick.value, style.decimals) === cents(form.elements.given.value, style.decimals);
      quick.setAttribute("aria-pressed", String(same));
    }
  };
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-due]");
    if (form) count(form);
  });
  document.addEventListener("click", (event) => {
    const quick = event.target.closest?.("form[data-due] [name=quick]");
    if (!quick) return;
    event.preventDefault();
    quick.form.elements.given.value = quick.value;
    count(quick.form);
  });

  // --- Something was done in a sheet: what is below it is asked for at once --------------------------------------------------------
  document.addEventListener("orders-changed", () => {
    for (const part of document.querySelectorAll("[data-poll]"))
      window.htmx?.ajax("GET", part.dataset.poll, { target: part, swap: "innerHTML" });
  });

  // --- What was unfolded on an order's page stays so when it is drawn anew -----------------------------------------------------------
  const page = document.getElementById("order");
  const unfolded = new Set();
  page?.addEventListener("toggle", (event) => {
    if (event.target.open) unfolded.add(event.target.id); else if (event.target.isConnected) unfolded.delete(event.target.id);
  }, true);
  if (page) {
    new MutationObserver(() => {
      for (const id of unfolded) { const details = document.getElementById(id); if (details) details.open = true; }
    }).observe(page, { childList: true });
  }

  // --- How long an order still waits for its payment -------------------------------------------------------------------------------
  const minutes = new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit: "minute", unitDisplay: "short" });
  setInterval(() => {
    for (const left of document.querySelectorAll("[data-until]"))
      left.textContent = minutes.format(Math.max(0, Math.ceil((Date.parse(left.dataset.until) - Date.now()) / 60000)));
  }, 10000);
})();
