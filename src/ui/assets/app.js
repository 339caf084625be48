// Copy buttons. Made here, so that a page without scripts has none that do nothing; the text stays selectable.
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
    const text = place.querySelector("code").textContent.trimEnd();
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy " + text);
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

  document.addEventListener("keydown", (event) => {
    const field = document.getElementById("q");
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "/" && field && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field.focus();
    }
  });
})();
