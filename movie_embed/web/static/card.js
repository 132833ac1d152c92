// A movie's card: what it is, how it was rated, and why it suits somebody.
import { ask, element, learn, plural } from "./api.js";

const SITES = {
  IMDb: ({ imdb_id }) => imdb_id && `https://www.imdb.com/title/${imdb_id}/`,
  TMDB: ({ tmdb_id }) => tmdb_id && `https://www.themoviedb.org/movie/${tmdb_id}`,
};

export async function movieCard(id, options) {
  return learn(await ask(`movies/${encodeURIComponent(id)}`, options));
}

// `why` says what the movie is to the person, `poster` is a template of an address or "".
export function showCard(root, movie, why, poster) {
  const links = Object.entries(SITES).map(([name, address]) => [name, address(movie)]).filter(([, address]) => address);
  const parts = [
    element("p", { className: "facts", textContent: [movie.year, movie.genres.join(", ")].filter(Boolean).join(" · ") }),
    distribution(movie),
    element("p", { className: "why", textContent: why }),
    element("p", { className: "links" }, ...links.flatMap(([name, href]) => [element("a", { href, target: "_blank", rel: "noreferrer", textContent: `${name} ↗` }), " "])),
  ];
  const picture = posterOf(movie, poster);
  root.replaceChildren(...(picture ? [picture] : []), element("div", {}, ...parts.filter((part) => part.textContent || part.matches("figure"))));
}

export function posterOf(movie, template) {
  const missing = [...template.matchAll(/\{(\w+)\}/g)].some(([, name]) => !movie[name]);
  if (!template || missing) return null;
  const picture = element("img", { className: "poster", alt: "", loading: "lazy", src: template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(movie[name])) });
  picture.addEventListener("error", () => picture.remove());
  return picture;
}

function distribution({ ratings, values }) {
  const total = values.reduce((sum, { count }) => sum + count, 0);
  const told = element("figcaption", { textContent: plural(ratings, "rating") });
  if (!total) return element("figure", {}, told);
  const mean = values.reduce((sum, { stars, count }) => sum + stars * count, 0) / total;
  told.textContent += `, mean ${mean.toFixed(2)}`;
  const most = Math.max(...values.map(({ count }) => count));
  const bars = values.map(({ stars, count }) => {
    const share = `${Number(stars.toFixed(2))} stars: ${Math.round((100 * count) / total)}%`;
    const bar = element("i", { title: `${share}, ${plural(count, "rating")}` });
    bar.style.setProperty("--share", `${(100 * count) / most}%`);
    return bar;
  });
  const spoken = values.map(({ stars, count }) => `${Number(stars.toFixed(2))}: ${count}`).join(", ");
  const drawn = element("div", { className: "bars", role: "img", ariaLabel: `Ratings by stars: ${spoken}` }, ...bars);
  const ends = [values[0], values.at(-1)].map(({ stars }) => element("span", { textContent: `${Number(stars.toFixed(2))} ★` }));
  return element("figure", {}, told, drawn, element("div", { className: "ends", ariaHidden: "true" }, ...ends));
}
