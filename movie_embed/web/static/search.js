// A search box: suggestions as one types, by the ARIA pattern of a combobox.
import { element, plural, said } from "./api.js";

export function search(input, list, find, choose) {
  let found = [];
  let active = -1;
  let timer = 0;
  let latest = 0;

  const close = () => {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const pick = (movie) => {
    close();
    input.value = "";
    choose(movie);
  };
  const activate = (place) => {
    active = place;
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === active)));
    if (active < 0) {
      input.removeAttribute("aria-activedescendant");
      return;
    }
    input.setAttribute("aria-activedescendant", list.children[active].id);
    list.children[active].scrollIntoView({ block: "nearest" });
  };
  const show = () => {
    list.replaceChildren(...found.map((movie, i) => {
      const facts = [movie.year, plural(movie.ratings, "rating")].filter(Boolean).join(" · ");
      const item = element("li", { id: `${list.id}-${i}`, role: "option" }, said(movie.title), element("small", { textContent: facts }));
      item.addEventListener("pointerdown", (event) => event.preventDefault());
      item.addEventListener("click", () => pick(movie));
      return item;
    }));
    if (!found.length) list.append(element("li", { className: "none", role: "option", ariaDisabled: "true", textContent: "No movie found" }));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    activate(found.length ? 0 : -1);
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = ++latest;
      const typed = input.value.trim();
      const answer = typed ? await find(typed) : [];
      if (mine !== latest) return;
      found = answer ?? [];
      if (answer && typed) show();
      else close();
    }, 60);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !list.hidden) {
      event.preventDefault(); // it would close a dialog around the box
      close();
    } else if (event.key === "Enter") {
      event.preventDefault(); // it would press the button that gets focus then
      if (active >= 0) pick(found[active]);
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && found.length) {
      event.preventDefault();
      if (list.hidden) show();
      else activate((active + (event.key === "ArrowDown" ? 1 : -1) + found.length) % found.length);
    }
  });
  input.addEventListener("blur", close);
}
