() => {
  // Words that are selected in the sentence become the mention. Offsets count characters, as Python does, not UTF-16 units.
  window.melMark = (mention, start) => {
    const box = document.querySelector("#mel-sentence textarea");
    const [first, last] = [box.selectionStart, box.selectionEnd];
    const chosen = box.value.slice(first, last);
    if (!chosen.trim() || chosen.trim() === box.value.trim()) return [mention, start];
    const space = chosen.length - chosen.trimStart().length;
    return [chosen.trim(), [...box.value.slice(0, first + space)].length];
  };
  // On a phone the answer stands below the fields.
  window.melShow = () => {
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const place = document.querySelector("#mel-message [role=alert]") || document.querySelector("#mel-results");
    const top = place.getBoundingClientRect().top;
    if (top < 0 || top > innerHeight * 0.7) place.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
  };
  // Pictures are called by what they show, and those beside a text are not read out with it.
  document.querySelectorAll("#mel-gallery button").forEach((button) => {
    const name = button.querySelector("img")?.alt;
    if (name) button.setAttribute("aria-label", name);
  });
  document.querySelectorAll("#mel-examples img").forEach((image) => image.setAttribute("alt", ""));
}
