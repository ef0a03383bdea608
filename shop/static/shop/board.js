// The board's enhancements: undo, sound, tabs on a phone, keys. The board works without this file.
(() => {
  "use strict";
  const board = document.getElementById("board");
  const all = (selector) => [...board.querySelectorAll(selector)];
  const formOf = (key) => board.querySelector(`form[data-hold="${key}"]`);

  // --- Steps that cannot be taken back wait on this screen for five seconds (shop/kitchen/views.py says why) --------------------
  const HOLD = 5000;
  const holds = new Map(); // "order:status" -> when it is to be sent
  const show = (key) => {
    const form = formOf(key);
    if (!form) { holds.delete(key); return; }
    const label = form.querySelector("[data-label]");
    label.dataset.words ||= label.textContent;
    const left = holds.has(key) ? Math.ceil((holds.get(key) - Date.now()) / 1000) : 0;
    label.textContent = left > 0 ? `${board.dataset.undo} (${left})` : label.dataset.words;
    form.closest(".order").classList.toggle("order-held", left > 0);
  };
  board.addEventListener("click", (event) => {
    const button = event.target.closest("form[data-hold] [data-next]");
    if (!button) return;
    event.preventDefault();
    event.stopPropagation();
    const key = button.form.dataset.hold;
    if (holds.has(key)) holds.delete(key); else holds.set(key, Date.now() + HOLD);
    show(key);
  }, true);
  setInterval(() => {
    for (const [key, due] of [...holds]) {
      if (Date.now() < due) { show(key); continue; }
      holds.delete(key);
      show(key);
      const form = formOf(key);
      if (form) form.requestSubmit();
    }
  }, 250);
  // Leaving the page is no reason to lose a tap.
  addEventListener("pagehide", () => {
    for (const key of holds.keys()) {
      const form = formOf(key);
      if (!form) continue;
      fetch(form.action, { method: "POST", body: new FormData(form), keepalive: true, credentials: "same-origin" });
    }
    holds.clear();
  });

  // --- Sound: only after a gesture, as browsers want it ---------------------------------------------------------------------------
  const button = document.getElementById("sound");
  let audio = null;
  const ring = () => {
    if (!audio || button.getAttribute("aria-pressed") !== "true") return;
    [0, 0.18, 0.36].forEach((delay, n) => {
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      tone.frequency.value = [660, 880, 990][n];
      volume.gain.setValueAtTime(0.25, audio.currentTime + delay);
      volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + delay + 0.35);
      tone.connect(volume).connect(audio.destination);
      tone.start(audio.currentTime + delay);
      tone.stop(audio.currentTime + delay + 0.4);
    });
  };
  button.hidden = !("AudioContext" in window);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    audio ||= new AudioContext();
    audio.resume();
    if (on) ring();
  });

  // --- Tabs: one column at a time on a phone --------------------------------------------------------------------------------------
  const markTab = () => {
    for (const link of all("[data-tab-to]")) {
      if (link.dataset.tabTo === board.dataset.tab) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    }
  };
  board.addEventListener("click", (event) => {
    const link = event.target.closest("[data-tab-to]");
    if (!link) return;
    event.preventDefault();
    board.dataset.tab = link.dataset.tabTo;
    markTab();
  });

  // --- After the columns were drawn anew ---------------------------------------------------------------------------------------------
  const opened = new Set();
  board.addEventListener("toggle", (event) => {
    if (event.target.open) opened.add(event.target.id); else if (event.target.isConnected) opened.delete(event.target.id);
  }, true);
  const pending = () => new Set(all('[data-status="pending"]').map((card) => card.dataset.order));
  let known = pending();
  const redrawn = () => {
    markTab();
    [...holds.keys()].forEach(show);
    for (const id of opened) { const details = document.getElementById(id); if (details) details.open = true; else opened.delete(id); }
    const now = pending();
    const fresh = [...now].filter((id) => !known.has(id));
    known = now;
    if (!fresh.length) return;
    ring();
    document.getElementById("said").textContent = `${board.dataset.new}: ${fresh.map((id) => document.querySelector(`#order-${id} .order-number`).textContent.trim()).join(", ")}`;
  };
  new MutationObserver((changes) => {
    if (changes.some((change) => change.target === board)) redrawn();
  }).observe(board, { childList: true });
  redrawn();

  // --- Keys: j and k go from order to order, Enter takes the step -------------------------------------------------------------------------
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.key !== "j" && event.key !== "k") return;
    const steps = all("[data-next]").filter((step) => step.offsetParent);
    const next = steps.indexOf(document.activeElement) + (event.key === "j" ? 1 : -1);
    steps[Math.max(0, Math.min(next, steps.length - 1))]?.focus();
  });
})();
