// Comfort, and nothing that a page needs: copy buttons, choosing several rows, keys. What is made here is absent from
// a page without scripts, so that nothing there does nothing.
"use strict";
(() => {
  const announce = document.getElementById("announce");

  // navigator.clipboard does not exist on a page that came by plain HTTP.
  async function copy(text) {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return;
    }
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("not copied");
  }

  for (const place of document.querySelectorAll("[data-copy]")) {
    const text = place.dataset.copy || place.querySelector("code").textContent.trimEnd();
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy " + text);
    button.title = text;
    button.addEventListener("click", async () => {
      let said = "Copied";
      try {
        await copy(text);
      } catch {
        said = "Select it";
      }
      button.textContent = said;
      announce.textContent = said;
      button.focus();
      setTimeout(() => {
        button.textContent = "Copy";
        announce.textContent = "";
      }, 2000);
    });
    place.append(button);
  }

  // All rows at once, and with Shift all between two.
  const boxes = [...document.querySelectorAll(".choose td input[type=checkbox]")];
  const head = document.querySelector(".choose th.check");
  if (boxes.length > 1 && head) {
    const all = document.createElement("input");
    all.type = "checkbox";
    all.setAttribute("aria-label", "Choose all on this page");
    all.addEventListener("change", () => boxes.forEach((box) => (box.checked = all.checked)));
    head.replaceChildren(all);
    let last = null;
    boxes.forEach((box, index) =>
      box.addEventListener("click", (event) => {
        if (event.shiftKey && last !== null) {
          const [from, to] = [Math.min(last, index), Math.max(last, index)];
          for (const between of boxes.slice(from, to + 1)) between.checked = box.checked;
        }
        last = index;
      }),
    );
  }

  document.addEventListener("keydown", (event) => {
    const field = document.getElementById("q");
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (event.key === "/" && field && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field.focus();
    }
  });
})();
