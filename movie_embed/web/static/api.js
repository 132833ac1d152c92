// Questions to the server, and what its answers told of movies.
import { said } from "./map.js";

export { said };
export const known = new Map(); // by id, as text

export async function ask(path, options = {}) {
  const response = await fetch(`api/${path}`, options);
  const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) throw Object.assign(new Error(answer.error), { status: response.status });
  return answer;
}

export const post = (path, body, options = {}) =>
  ask(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" }, ...options });

export function query(values) {
  const pairs = Object.entries(values).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
  return new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined)).toString();
}

// Note what an answer tells of a movie; return the answer with its id as text.
export function learn(movie) {
  const id = String(movie.movie_id);
  const { title, year, genres, imdb_id, tmdb_id } = movie;
  known.set(id, { title, year, genres, imdb_id, tmdb_id });
  return { ...movie, id };
}

// The movies of [{ movie_id, title, year }], in one request; null for each that this run lacks.
export async function find(movies, options) {
  const parts = [];
  for (let at = 0; at < movies.length; at += 10_000) parts.push(post("movies", { movies: movies.slice(at, at + 10_000) }, options));
  return (await Promise.all(parts)).flat().map((movie) => movie && learn(movie));
}

export const named = ({ title, year }) => (year ? `${said(title)} (${year})` : said(title));
export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

export function element(tag, values = {}, ...children) {
  const made = Object.assign(document.createElement(tag), values);
  made.append(...children);
  return made;
}
