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

  // All rows in sight at once, and with Shift those between two. What leaves the sight is not chosen any more: nobody
  // deletes what they do not see.
  const boxes = [...document.querySelectorAll(".choose td input[type=checkbox]")];
  const head = document.querySelector(".choose th.check");
  const inSight = (box) => !box.closest("tr").hidden;
  let tellChosen = () => {};
  if (boxes.length > 1 && head) {
    const all = document.createElement("input");
    all.type = "checkbox";
    all.setAttribute("aria-label", "Choose all on this page");
    all.addEventListener("change", () => boxes.filter(inSight).forEach((box) => (box.checked = all.checked)));
    head.replaceChildren(all);
    const count = document.createElement("output");
    document.querySelector(".chosen").append(count);
    tellChosen = () => {
      for (const box of boxes) box.checked &&= inSight(box);
      const chosen = boxes.filter((box) => box.checked).length;
      count.textContent = chosen ? `${chosen} chosen` : "";
      all.checked = chosen > 0 && chosen === boxes.filter(inSight).length;
      all.indeterminate = chosen > 0 && !all.checked;
    };
    head.closest("table").addEventListener("change", tellChosen);
    let last = null;
    boxes.forEach((box, index) =>
      box.addEventListener("click", (event) => {
        if (event.shiftKey && last !== null) {
          const [from, to] = [Math.min(last, index), Math.max(last, index)];
          for (const between of boxes.slice(from, to + 1).filter(inSight)) between.checked = box.checked;
        }
        last = index;
      }),
    );
  }

  // The rows of this page that have all words, while they are typed; the server looks through all pages.
  const field = document.getElementById("q");
  const rows = [...document.querySelectorAll("table.filter tbody tr")];
  if (field && rows.length > 1) {
    const names = rows.map((row) => row.querySelector("th a").textContent.toLowerCase());
    const count = document.createElement("output");
    count.htmlFor = "q";
    field.form.append(count);
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/[\s:]+/).filter(Boolean);
      let left = 0;
      rows.forEach((row, index) => {
        row.hidden = !words.every((word) => names[index].includes(word));
        left += row.hidden ? 0 : 1;
      });
      tellChosen();
      const typed = field.value !== field.defaultValue;
      count.textContent = typed ? `${left} of ${rows.length} on this page; Enter looks through all` : "";
    });
  }

  // The client last chosen for commands is chosen again.
  const tools = document.querySelector(".tools");
  if (tools) {
    try {
      const kept = localStorage.getItem("tool");
      const radio = [...tools.querySelectorAll("input")].find((input) => input.value === kept);
      if (radio) radio.checked = true;
      tools.addEventListener("change", (event) => localStorage.setItem("tool", event.target.value));
    } catch {
      // A browser that keeps nothing.
    }
  }

  // From any page, the key leads to a search; the field shows it.
  if (field) {
    const key = document.createElement("kbd");
    key.textContent = "/";
    key.setAttribute("aria-hidden", "true");
    field.after(key);
    if (location.hash === "#q") field.focus();
  }

  // Hours and days ago, and the time where the reader is: what is shown stays UTC.
  const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const time of document.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    const minutes = (at - Date.now()) / 60000;
    const [unit, size] = [["day", 1440], ["hour", 60], ["minute", 1]].find(([, size]) => Math.abs(minutes) >= size) ?? ["minute", 1];
    time.title = `${ago.format(Math.round(minutes / size), unit)}, ${at.toLocaleString()} here`;
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (field) field.focus();
    else location.assign("/ui/#q");
  });
})();
