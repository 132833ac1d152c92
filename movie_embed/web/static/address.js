// The state of a view in the part of the address after "#", which browsers do not send to a server.
import { query } from "./api.js";

export const empty = () => ({
  focus: null, genres: [], from: "", to: "", min: 0, diversity: 0, popularity: 0, order: "", together: "average", region: null, k: 20,
});

export function toAddress(state, people, view) {
  const ratings = people.map((each) => [...each].map(([id, stars]) => `${encodeURIComponent(id)}:${Number(stars.toFixed(2))}`).join(","));
  const { focus, genres, from, to, min, diversity, popularity, order, together, region } = state;
  const text = query({
    r: ratings[0], r2: ratings[1] ?? "", like: focus, genre: genres, from, to, min: min || "", varied: diversity || "", known: popularity || "",
    order, together: together === "average" ? "" : together, region: region?.join(",") ?? "", at: view?.join(",") ?? "",
  });
  return location.pathname + (text ? `#${text.replaceAll("%3A", ":").replaceAll("%2C", ",")}` : "");
}

// Returns the state, people's ratings or null, the map's view or null, and what was not understood.
export function fromAddress({ rating_range: [low, high], genres, orders }) {
  const given = new URLSearchParams(location.hash.slice(1) || location.search); // links once had "?"
  const wrong = [];
  const read = (name, fits, value = (text) => text) => {
    const text = given.get(name);
    if (text === null || text === "") return null;
    if (fits(text)) return value(text);
    wrong.push(`${name}=${text}`);
    return null;
  };
  const number = (name, least, most) => read(name, (text) => Number(text) >= least && Number(text) <= most, Number) ?? 0;
  const numbers = (name, count) => read(name, (text) => text.split(",").length === count && text.split(",").every((each) => each.trim() && Number.isFinite(Number(each))), (text) => text.split(",").map(Number));
  const one = (name, all) => read(name, (text) => all.includes(text));
  const year = (name) => read(name, (text) => /^\d{1,4}$/.test(text)) ?? "";
  const people = ["r", "r2"].filter((name) => given.get(name)).map((name) => new Map(given.get(name).split(",").flatMap((part) => {
    const [id, stars] = [part.slice(0, part.lastIndexOf(":")), part.slice(part.lastIndexOf(":") + 1)];
    try {
      if (id && stars && Number(stars) >= low && Number(stars) <= high) return [[decodeURIComponent(id), Number(stars)]];
    } catch { /* told below */ }
    wrong.push(`rating ${part}`);
    return [];
  })));
  const known = given.getAll("genre").filter((genre) => genres.includes(genre) || (wrong.push(`genre=${genre}`), false));
  const state = {
    ...empty(), genres: known, focus: given.get("like") || null, from: year("from"), to: year("to"), min: Math.floor(number("min", 0, 1e12)),
    diversity: number("varied", 0, 1), popularity: number("known", -1, 1), order: one("order", orders) ?? "",
    together: one("together", ["average", "least"]) ?? "average", region: numbers("region", 4),
  };
  return { state, people: people.length ? people : null, view: numbers("at", 3), wrong };
}
