// The storefront's enhancements. Every page works without this file.
(() => {
  "use strict";
  // --- A product's price counts along with its choices; the server counts again ------------------------------------------------
  const cents = (text, decimals) => {
    const [, sign, whole, part = ""] = /^(-?)(\d*)(?:\.(\d*))?$/.exec(text) || ["", "", "0"];
    return Number(sign + (whole || "0") + part.padEnd(decimals, "0").slice(0, decimals));
  };
  const written = (amount, style) => {
    const digits = String(Math.abs(amount)).padStart(style.decimals + 1, "0");
    const whole = digits.slice(0, digits.length - style.decimals);
    const part = style.decimals ? digits.slice(-style.decimals) : "";
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, style.comma ? "." : ",");
    const shown = part && !(style.short && /^0+$/.test(part)) ? grouped + (style.comma ? "," : ".") + part : grouped;
    return `${amount < 0 ? "-" : ""}${style.symbol}\u00a0${shown}`;
  };
  const count = (form) => {
    const style = JSON.parse(form.dataset.money);
    let amount = cents(form.dataset.price, style.decimals);
    for (const input of form.querySelectorAll("input[data-delta]:checked")) amount += cents(input.dataset.delta, style.decimals);
    const quantity = Math.max(1, Math.floor(Number(form.elements.quantity?.value) || 1));
    const output = form.querySelector("[data-amount]");
    if (output) output.textContent = written(amount * quantity, style);
  };
  for (const kind of ["change", "input"])
    document.addEventListener(kind, (event) => {
      const form = event.target.closest?.("form[data-money]");
      if (form) count(form);
    });

  // --- A menu that the browser kept shows the cart of now -----------------------------------------------------------------------
  addEventListener("pageshow", async (event) => {
    const bar = document.getElementById("cart-bar");
    if (!event.persisted || !bar) return;
    const answer = await fetch("/cart/bar", { credentials: "same-origin" }).catch(() => null);
    if (answer?.ok) window.htmx?.swap(bar, await answer.text(), { swapStyle: "outerHTML" });
  });
})();
