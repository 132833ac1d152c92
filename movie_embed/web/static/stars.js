// Stars as sliders: a click or arrow keys give them, in half steps where the scale has them.

export function scaleOf([low, high]) {
  const natural = high >= 2 && high <= 5;
  const count = natural ? Math.floor(high) : 5;
  const step = natural ? (low < 1 ? 0.5 : 1) : high / 10;
  return { low, high, count, step };
}

const bounded = (value, { low, high }) => Math.min(Math.max(value, low), high);
export const starsText = (stars, { high }) => `${Number(stars.toFixed(2))} of ${high} stars`;

// One path of `count` stars, each in a square of 24.
function path(count) {
  const points = [...Array(count).keys()].map((star) =>
    [...Array(10).keys()].map((i) => {
      const reach = i % 2 ? 4.4 : 10.5;
      return `${(24 * star + 12 + reach * Math.sin((i * Math.PI) / 5)).toFixed(2)} ${(12.8 - reach * Math.cos((i * Math.PI) / 5)).toFixed(2)}`;
    }));
  return points.map((star) => `M${star.join("L")}Z`).join("");
}

function drawing(count, name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${24 * count} 24`);
  svg.setAttribute("class", name);
  svg.append(document.createElementNS(space, "path"));
  svg.firstChild.setAttribute("d", path(count));
  return svg;
}

// Show a value, null for none, on an element with the role of a slider.
export function showStars(slider, scale, value, label) {
  if (!slider.firstChild) slider.append(drawing(scale.count, "unlit"), drawing(scale.count, "lit"));
  slider.style.setProperty("--count", scale.count);
  slider.style.setProperty("--fill", `${(100 * (value ?? 0)) / scale.high}%`);
  const told = { label, valuemin: 0, valuemax: scale.high, valuenow: value ?? 0, valuetext: value === null ? "not rated" : starsText(value, scale) };
  for (const [name, text] of Object.entries(told)) slider.setAttribute(`aria-${name}`, text);
  slider.dataset.value = value ?? "";
}

// Call `rate(slider, stars)` for all sliders in `root`, with null where the rating is taken back.
export function listenToStars(root, scale, rate) {
  const sliderOf = (event) => event.target.closest?.(".stars");
  const at = (slider, event) => {
    const box = slider.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return bounded(Math.ceil((share * scale.high) / scale.step) * scale.step, scale);
  };
  const valueOf = (slider) => (slider.dataset.value === "" ? null : Number(slider.dataset.value));
  root.addEventListener("pointermove", (event) => {
    const slider = event.pointerType === "mouse" && sliderOf(event);
    if (slider) slider.style.setProperty("--hover", `${(100 * at(slider, event)) / scale.high}%`);
  });
  root.addEventListener("pointerout", (event) => sliderOf(event)?.style.removeProperty("--hover"));
  root.addEventListener("click", (event) => {
    const slider = sliderOf(event);
    if (!slider) return;
    const value = at(slider, event);
    slider.style.removeProperty("--hover"); // what was given is what is seen
    rate(slider, value === valueOf(slider) ? null : value);
  });
  root.addEventListener("keydown", (event) => {
    const slider = sliderOf(event);
    if (!slider || event.ctrlKey || event.metaKey || event.altKey) return;
    const [value, { low, high, step, count }] = [valueOf(slider), scale];
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : 0;
    const step_ = { ArrowRight: step, ArrowUp: step, ArrowLeft: -step, ArrowDown: -step, PageUp: high / count, PageDown: -high / count }[event.key];
    let next;
    if (step_) next = value === null ? (step_ > 0 ? low : null) : value + step_ < low ? null : bounded(value + step_, scale);
    else if (event.key === "Home") next = low;
    else if (event.key === "End") next = high;
    else if (digit && digit <= count) next = bounded((digit * high) / count, scale);
    else if (["Delete", "Backspace", "0"].includes(event.key)) next = null;
    else return;
    event.preventDefault();
    if (next !== value) rate(slider, next);
  });
}
