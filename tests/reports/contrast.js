// Contrast of each text with what is behind it, after WCAG 2.2, relative luminance.
const channels = (color) => {
  const found = color.match(/[\d.]+/g).map(Number);
  return found.length === 3 ? [...found, 1] : found;
};
const luminance = ([red, green, blue]) => {
  const [r, g, b] = [red, green, blue].map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = channels(getComputedStyle(at).backgroundColor);
    if (color[3] === 1) return color;
  }
  return [255, 255, 255, 1];
};
const measured = [];
for (const element of document.querySelectorAll("body *")) {
  const own = Array.from(element.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
  if (!own || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
  const style = getComputedStyle(element);
  const color = channels(element.ownerSVGElement ? style.fill : style.color);
  const [light, dark] = [luminance(color), luminance(behind(element))].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05);
  measured.push({ text: element.textContent.trim().slice(0, 40), ratio });
}
return measured;
