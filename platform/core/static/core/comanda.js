// Comanda's enhancements. Every page works without this file; it makes them quicker. No globals, no eval, no styles.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  const $ = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  // Sheets: a link with data-sheet opens its page over this one, under its own address
  const sheet = $("#sheet");
  const below = { address: location.href, title: document.title };

  const readPage = async (address) => {
    const answer = await fetch(address, { headers: { "X-Sheet": "1" }, credentials: "same-origin" });
    const content = new DOMParser().parseFromString(await answer.text(), "text/html");
    return { body: $("#sheet-content", content), title: content.title };
  };
  const openSheet = async (link) => {
    link.setAttribute("aria-busy", "true");
    try {
      const page = await readPage(link.href);
      if (!page.body) { location.assign(link.href); return; }
      page.body.classList.remove("sheet-page");
      sheet.replaceChildren(page.body);
      if (!sheet.open) {
        below.address = location.href;
        below.title = document.title;
        history.pushState({ sheet: true }, "", link.href);
        sheet.showModal();
      } else { history.replaceState({ sheet: true }, "", link.href); }
      document.title = page.title;
      sheet.scrollTop = 0;
      window.htmx?.process(page.body);
      prepare(page.body);
      $("#sheet-title", sheet)?.focus();
    } catch { toast(sheet.dataset.wrong, "bad"); } finally { link.removeAttribute("aria-busy"); }
  };
  const closeSheet = () => { if (sheet?.open) sheet.close(); };
  sheet?.addEventListener("close", () => {
    document.title = below.title;
    if (history.state?.sheet) history.back();
    sheet.replaceChildren();
  });
  // The back button leaves the sheet; going forward to one again loads its page.
  addEventListener("popstate", (event) => {
    if (event.state?.sheet) location.reload(); else closeSheet();
  });

  // Toasts
  const readingTime = (element) => 3000 + element.textContent.length * 60;
  const dismissLater = (element) => {
    if (element.dataset.toast === "bad") return; // What went wrong stays until it is read.
    setTimeout(() => (element.matches(":hover, :focus-within") ? dismissLater(element) : element.remove()), readingTime(element));
  };
  const toast = (text, kind = "info") => {
    const element = document.createElement("div");
    element.className = `toast toast-${kind}`;
    element.dataset.toast = kind;
    const words = document.createElement("span");
    words.textContent = text;
    element.append(words);
    // Modal dialogs cover the page: speak where the person is.
    (sheet?.open ? sheet : $("#toasts"))?.append(element);
    dismissLater(element);
  };
  // A response may say HX-Trigger: {"toast": {"text": "…", "kind": "good"}, "close-sheet": true}
  document.addEventListener("toast", (event) => toast(event.detail.text, event.detail.kind));
  document.addEventListener("close-sheet", closeSheet);

  // Steppers: − and + beside a number
  const limits = (input) => [Number(input.min || 0), Number(input.max || Infinity)];
  const showLimits = (stepper) => {
    const input = $("input", stepper);
    const [least, most] = limits(input);
    for (const button of all("button:not(.visually-hidden)", stepper))
      button.disabled = button.value === "down" ? Number(input.value) <= least : Number(input.value) >= most;
  };
  const step = (button, stepper) => {
    const input = $("input", stepper);
    const [least, most] = limits(input);
    const wanted = (Number(input.value) || 0) + (button.value === "down" ? -1 : 1);
    input.value = Math.min(most, Math.max(least, wanted));
    showLimits(stepper);
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // Clicks
  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest?.(selector);
    const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (sheet?.open && event.target === sheet) return closeSheet();
    if (at("[data-dismiss]")) return at("[data-toast]").remove();
    if (plain && sheet?.open && at("[data-close]")) { event.preventDefault(); return closeSheet(); }
    if (plain && sheet?.showModal && at("a[data-sheet]")) { event.preventDefault(); return openSheet(at("a[data-sheet]")); }
    const stepper = at("[data-stepper]");
    const button = at("button[name=step]");
    if (stepper && button && !("submits" in stepper.dataset)) step(button, stepper);
  });
  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form[data-auto-submit]");
    if (form) form.requestSubmit();
  });

  // Forms: a second press while the first one travels does nothing
  const setBusy = (form, busy) => {
    if (busy) form.dataset.busy = ""; else delete form.dataset.busy;
    for (const button of all("button[aria-busy]", form)) button.removeAttribute("aria-busy");
  };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if ("busy" in form.dataset) { event.preventDefault(); event.stopImmediatePropagation(); return; }
    if (event.defaultPrevented || form.method === "get") return;
    setBusy(form, true);
    if (event.submitter?.matches(".button:not(.button-icon)")) event.submitter.setAttribute("aria-busy", "true");
  }, true);
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.detail.elt.closest?.("form");
    if (form) setBusy(form, false);
  });
  addEventListener("pageshow", () => all("form[data-busy]").forEach((form) => setBusy(form, false)));
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"])
    document.addEventListener(name, () => toast(sheet.dataset.wrong, "bad"));

  // Times: <time data-since> counts minutes
  const units = new Intl.NumberFormat(root.lang, { style: "unit", unit: "minute", unitDisplay: "short" });
  const hours = new Intl.NumberFormat(root.lang, { style: "unit", unit: "hour", unitDisplay: "short" });
  const tellSince = (from = document) => {
    for (const element of all("time[data-since]", from)) {
      const minutes = Math.max(0, Math.floor((Date.now() - Date.parse(element.dateTime)) / 60000));
      element.title ||= element.textContent;
      element.textContent = minutes < 90 ? units.format(minutes) : hours.format(Math.round(minutes / 60));
    }
  };
  setInterval(tellSince, 20000);

  // Polling: data-poll="address" asks again every data-every seconds, and swaps only what changed (ETag)
  const poll = (element) => {
    let tag = element.dataset.tag || "";
    let failures = 0;
    const ask = async () => {
      if (!element.isConnected) return;
      if (!document.hidden) {
        try {
          const answer = await fetch(element.dataset.poll, {
            headers: { "HX-Request": "true", "HX-Current-URL": location.href, ...(tag && { "If-None-Match": tag }) }, cache: "no-store", credentials: "same-origin",
          });
          const away = answer.headers.get("HX-Redirect"); // To sign in again.
          if (away) return location.assign(away);
          if (answer.status === 200 || answer.status === 286) {
            tag = answer.headers.get("ETag") || "";
            window.htmx?.swap(element, await answer.text(), { swapStyle: "innerHTML" });
            prepare(element);
          } else if (answer.status !== 304) throw new Error(answer.status);
          failures = 0;
          delete element.dataset.connection;
          if (answer.status === 286) return; // It will not change any more.
        } catch {
          failures += 1;
          if (failures > 1) element.dataset.connection = "lost";
        }
      }
      setTimeout(ask, Number(element.dataset.every || 3) * 1000 * Math.min(2 ** failures, 8));
    };
    setTimeout(ask, Number(element.dataset.every || 3) * 1000);
  };

  // Search in the page: data-filter="#list" hides the [data-words] that do not match
  const plainWords = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const filter = (input) => {
    const wanted = plainWords(input.value.trim());
    const list = $(input.dataset.filter);
    for (const item of all("[data-words]", list)) item.hidden = !plainWords(item.dataset.words).includes(wanted);
    for (const section of all("[data-section]", list)) section.hidden = !$("[data-words]:not([hidden])", section);
    const none = $("[data-none]", list);
    if (none) none.hidden = Boolean($("[data-words]:not([hidden])", list));
  };
  document.addEventListener("input", (event) => { if (event.target.dataset?.filter) filter(event.target); });

  // Chips that follow the section in sight
  const follow = (chips) => {
    const links = new Map(all("a[href^='#']", chips).map((link) => [link.hash.slice(1), link]));
    const watcher = new IntersectionObserver((entries) => {
      const seen = entries.find((entry) => entry.isIntersecting);
      if (!seen) return;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(seen.target.id);
      link.setAttribute("aria-current", "true");
      chips.scrollTo({ left: link.offsetLeft - 16 });
    }, { rootMargin: "-20% 0px -70% 0px" });
    for (const id of links.keys()) { const section = document.getElementById(id); if (section) watcher.observe(section); }
  };

  const once = (element, name) => !(name in element.dataset) && (element.dataset[name] = "yes");
  const prepare = (from = document) => {
    all("[data-stepper]:not([data-submits])", from).forEach(showLimits);
    all("[data-poll]", from).filter((element) => once(element, "polling")).forEach(poll);
    all("[data-follow]", from).filter((element) => once(element, "following")).forEach(follow);
    all("[data-toast]", from).filter((element) => once(element, "leaving")).forEach(dismissLater);
    tellSince(from);
  };
  document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));
  prepare();
})();
