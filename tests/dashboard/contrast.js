// Returns how many texts, lines and edges are on the page, and which have too little contrast (WCAG 2.2 AA).
() => {
  const channels = (colour) => {
    const numbers = (colour.match(/-?[\d.]+(e-?\d+)?/g) ?? []).map(Number);
    if (colour.startsWith("color(srgb")) return [...numbers.slice(0, 3).map((one) => one * 255), numbers[3] ?? 1];
    return [...numbers.slice(0, 3), numbers[3] ?? 1];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((one, at) => one * a + under[at] * (1 - a));
  const light = (colour) => {
    const [r, g, b] = colour.map((one) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [less, more] = [light(one), light(other)].sort((a, b) => a - b);
    return (more + 0.05) / (less + 0.05);
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(channels(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const opacity = (element) => {
    let all = 1;
    for (let at = element; at; at = at.parentElement) all *= Number(getComputedStyle(at).opacity);
    return all;
  };
  const found = [];
  const judge = (element, colour, words, least, more = 1) => {
    const [behind, [r, g, b, a]] = [ground(element), channels(colour)];
    const got = ratio(over([r, g, b, a * more * opacity(element)], behind), behind);
    if (!(got >= least)) found.push(`${words.trim().slice(0, 40)} (${element.tagName} ${element.getAttribute("class") ?? ""}): ${got.toFixed(2)}`);
    return 1;
  };
  const large = ({ fontSize, fontWeight }) => parseFloat(fontSize) >= 24 || (parseFloat(fontSize) >= 18.66 && Number(fontWeight) >= 700);
  let seen = 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || !element.checkVisibility() || element.closest(".hidden, :disabled, option, script, .skip")) continue;
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    seen += judge(element, colour, text.data, large(style) ? 3 : 4.5);
  }
  for (const field of document.querySelectorAll("input:not([type=checkbox]), select, textarea")) {
    if (!field.checkVisibility() || field.matches(":disabled")) continue;
    seen += judge(field, getComputedStyle(field).borderTopColor, "an edge", 3);
  }
  for (const field of document.querySelectorAll("[placeholder]:not(:disabled)")) {
    const style = getComputedStyle(field, "::placeholder");
    seen += judge(field, style.color, field.placeholder, 4.5, Number(style.opacity));
  }
  for (const line of document.querySelectorAll(".line path, .line circle, .axis")) {
    seen += judge(line.closest("figure") ?? line.parentElement, getComputedStyle(line).stroke, "a line", 3, Number(getComputedStyle(line).strokeOpacity));
  }
  return { seen, found: [...new Set(found)] };
}
