// The search box: suggestions as one types, by the ARIA pattern of a combobox.

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
    if (active < 0) return;
    input.setAttribute("aria-activedescendant", list.children[active].id);
    list.children[active].scrollIntoView({ block: "nearest" });
  };
  const show = () => {
    list.replaceChildren(...found.map((movie, i) => {
      const item = document.createElement("li");
      item.id = `found-${i}`;
      item.setAttribute("role", "option");
      item.textContent = movie.title;
      const facts = document.createElement("small");
      facts.textContent = [movie.year, `${movie.ratings.toLocaleString("en")} ratings`].filter(Boolean).join(" · ");
      item.append(facts);
      item.addEventListener("pointerdown", (event) => event.preventDefault());
      item.addEventListener("click", () => pick(movie));
      return item;
    }));
    list.hidden = !found.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    activate(found.length ? 0 : -1);
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = ++latest;
      const answer = input.value.trim() ? await find(input.value) : [];
      if (mine !== latest) return;
      found = answer ?? [];
      show();
    }, 60);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter" && active >= 0) pick(found[active]);
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && found.length) {
      event.preventDefault();
      if (list.hidden) show();
      else activate((active + (event.key === "ArrowDown" ? 1 : -1) + found.length) % found.length);
    }
  });
  input.addEventListener("blur", close);
}
