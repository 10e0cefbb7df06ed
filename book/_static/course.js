// What the course's pages do beyond the theme. Each part below looks for its own elements.

const WORKSHOP = new URL(".", document.currentScript.src);

// Formulas and figures are for readers who come near them: their libraries are loaded then, once.
function script(name) {
  script[name] ??= new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = new URL(name, WORKSHOP);
    element.onload = resolve;
    element.onerror = () => reject(new Error(`${name} is not beside course.js`));
    document.head.append(element);
  });
  return script[name];
}

function near(elements, margin, then) {
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        then(target);
      }
    },
    { rootMargin: `${margin} 0px` },
  );
  elements.forEach((element) => observer.observe(element));
}

function ready(then) {
  if (document.readyState !== "loading") then();
  else document.addEventListener("DOMContentLoaded", then);
}

// Formulas: set a few at a time, from where the reader is, so that a phone can scroll meanwhile.
(() => {
  const settings = window.MathJax;
  const done = () => (document.documentElement.dataset.formulas = "set");
  if (!settings) return void done();
  settings.startup = { typeset: false };
  let begun = null;

  async function set() {
    await script("mathjax/tex-chtml.js");
    await window.MathJax.startup.promise;
    const place = (e) => Math.abs(e.getBoundingClientRect().top - innerHeight / 2);
    const waiting = [...document.querySelectorAll(".math.notranslate")]
      .map((element) => [place(element), element])
      .sort(([a], [b]) => a - b)
      .map(([, element]) => element);
    while (waiting.length) {
      await window.MathJax.typesetPromise(waiting.splice(0, 12));
      await new Promise((resolve) => setTimeout(resolve));
    }
    done();
  }
  const begin = () => (begun ??= set());

  ready(() => {
    const formulas = document.querySelectorAll(".math.notranslate");
    if (!formulas.length) return void done();
    near(formulas, "50%", begin);
    for (const event of ["scroll", "keydown", "pointerdown"])
      window.addEventListener(event, begin, { once: true, passive: true });
    window.addEventListener("beforeprint", begin, { once: true });
    window.matchMedia("print").addEventListener("change", begin, { once: true });
  });
})();

// Plotly's figures, in the page's colours (see course.css), with native controls and a keyboard.
(() => {
  const html = document.documentElement;

  // {"#2f80d8": "#1d6fc4", ...}: the mid-tones of tutor/materials/figures.py to this page's shades.
  const NAMES = ["2f80d8", "d2622a", "0f8a63", "b04fa5", "7c8796", "a89000", "6d3fe0", "7d4a32", "e8305a", "767b84", "8b939e"];
  function shades() {
    const style = getComputedStyle(html);
    const entries = NAMES.map((name) => ["#" + name, style.getPropertyValue("--c-" + name).trim()]);
    return Object.fromEntries(entries.filter(([, shade]) => shade));
  }

  function recolour(value, map) {
    if (typeof value === "string") {
      const shade = map[value.slice(0, 7).toLowerCase()];
      return shade && /^#[0-9a-f]{6}([0-9a-f]{2})?$/i.test(value) ? shade + value.slice(7) : value;
    }
    if (Array.isArray(value)) {
      value.forEach((item, i) => (value[i] = recolour(item, map)));
    } else if (value && Object.getPrototypeOf(value) === Object.prototype) {
      Object.keys(value).forEach((key) => (value[key] = recolour(value[key], map)));
    }
    return value;
  }

  let current = null;
  const plots = [];

  class Figure {
    constructor(element) {
      this.element = element;
      this.plot = element.querySelector(".figure-plot");
      this.spec = JSON.parse(element.querySelector("script").textContent);
      this.range = element.querySelector("input[type=range]");
      this.output = element.querySelector("output");
      this.buttons = [...element.querySelectorAll(".figure-buttons button")];
      this.steps = this.spec.controls.slider;
      this.range?.addEventListener("input", () => this.choose());
      this.buttons.forEach((button, i) => button.addEventListener("click", () => this.press(i)));
      this.plot.addEventListener("keydown", (event) => this.key(event));
      this.plot.addEventListener("blur", () => this.leave());
    }

    draw() {
      return (this.drawn ??= this.first());
    }

    async first() {
      // Plotly would otherwise change the settings of the page's MathJax.
      window.PlotlyConfig = { MathJaxConfig: "local" };
      await script("plotly-cartesian.min.js");
      current ??= shades();
      const { data, layout, frames } = recolour(this.spec, current);
      if (innerWidth < 600) layout.font = { ...layout.font, size: 12 }; // for an axis's whole title
      layout.dragmode = false; // nothing to catch a finger or to zoom into
      for (const name of Object.keys(layout))
        if (/^[xy]axis/.test(name)) layout[name].fixedrange = true;
      await window.Plotly.newPlot(this.plot, {
        data,
        layout,
        frames,
        config: { responsive: true, displaylogo: false, displayModeBar: false },
      });
      plots.push(this.plot);
      this.element.classList.add("drawn");
    }

    // What is chosen by the buttons and the slider together: each keeps its place when the other moves.
    async choose() {
      const step = this.steps[this.range?.value ?? 0];
      if (step) {
        this.output.textContent = step.label;
        this.range.setAttribute("aria-valuetext", step.label);
      }
      await this.draw();
      const pressed = this.buttons.findIndex((b) => b.getAttribute("aria-pressed") === "true");
      const [data, layout] = step?.args ?? this.spec.controls.buttons[pressed].args;
      // A copy: Plotly keeps what it is given, and colours are changed in place.
      await window.Plotly.update(this.plot, ...structuredClone([data, layout ?? {}]));
    }

    press(number) {
      this.buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(i === number)));
      this.steps = this.spec.controls.buttons[number].slider ?? this.steps;
      return this.choose();
    }

    // Arrows: right and left along a curve or a row, up and down between them.
    async key(event) {
      const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
      if (event.key === "Escape") return this.leave();
      if (!move[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      await this.draw();
      const [down, along] = move[event.key];
      const rows = this.plot._fullData.flatMap((trace, curve) => {
        if (trace.visible !== true) return [];
        if (trace.type !== "heatmap") return [{ curve, length: this.plot.calcdata[curve].length }];
        const { z } = this.plot.calcdata[curve][0];
        return [...z.keys()].map((row) => ({ curve, row, length: z[row].length }));
      });
      if (!rows.length) return;
      const clip = (n, end) => Math.max(0, Math.min(n, end - 1));
      this.at = this.at ? { row: this.at.row + down, place: this.at.place + along } : { row: 0, place: 0 };
      const row = clip(this.at.row, rows.length);
      const place = clip(this.at.place, rows[row].length);
      this.at = { row, place };
      const { curve, row: line } = rows[row];
      const { x, y } = this.plot.calcdata[curve][0]; // of a heatmap, the edges of its cells
      const middle = (edges, n) => (edges[n] + edges[n + 1]) / 2;
      const point =
        line === undefined ? { pointNumber: place } : { xval: middle(x, place), yval: middle(y, line) };
      const { xaxis, yaxis } = this.plot._fullData[curve];
      window.Plotly.Fx.hover(this.plot, [{ curveNumber: curve, ...point }], xaxis + yaxis);
      clearTimeout(this.telling); // Plotly draws a label at once, or 50 ms after the one before
      this.telling = setTimeout(() => this.tell(), 100);
    }

    tell() {
      const labels = [...this.plot.querySelectorAll(".hoverlayer text")].map((t) =>
        [...(t.querySelector("tspan") ? t.querySelectorAll("tspan.line") : [])]
          .map((line) => line.textContent)
          .join(" ") || t.textContent,
      );
      this.element.querySelector(".figure-reading").textContent = labels.filter(Boolean).join("; ");
    }

    leave() {
      if (!this.at) return;
      this.at = null;
      window.Plotly.Fx.unhover(this.plot);
    }
  }

  ready(() => {
    const figures = new Map();
    for (const element of document.querySelectorAll(".plotly-figure"))
      figures.set(element, new Figure(element));
    near([...figures.keys()], "600px", (element) => figures.get(element).draw());
    new MutationObserver(() => {
      if (!current) return;
      const next = shades();
      const map = Object.fromEntries(Object.keys(next).map((name) => [current[name], next[name]]));
      current = next;
      for (const plot of plots) {
        // What is drawn now, not what was drawn first: a moved slider stays where it is.
        recolour(plot.data, map);
        recolour(plot.layout, map);
        window.Plotly.redraw(plot);
      }
    }).observe(html, { attributes: true, attributeFilter: ["data-theme"] });
  });
})();

// Quizzes: a click answers; arrows only choose, and Enter or the button answers. The browser keeps it.
ready(() => {
  const store = {
    get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* not allowed here */ } },
  };
  for (const question of document.querySelectorAll(".quiz-question")) {
    const key = `workshop ${question.id}`;
    const said = question.querySelector(".quiz-answer");
    const button = question.querySelector(".quiz-check");
    const inputs = [...question.querySelectorAll("input")];
    const answer = (input) => {
      const option = input.closest(".quiz-option");
      const { content, dataset } = option.querySelector("template");
      question.querySelectorAll("[data-given]").forEach((e) => delete e.dataset.given);
      option.dataset.given = said.dataset.verdict = dataset.verdict;
      said.replaceChildren(content.cloneNode(true));
      store.set(key, input.value);
      button.disabled = true;
    };
    for (const input of inputs) {
      input.addEventListener("change", () => (button.disabled = false));
      input.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && input.checked) answer(input);
      });
      // The label's own click, and not the one that the browser makes of an arrow.
      input.closest("label").addEventListener("click", (event) => {
        if (event.detail > 0) setTimeout(() => answer(input));
      });
    }
    button.addEventListener("click", () => answer(inputs.find((input) => input.checked)));
    const kept = inputs.find((input) => input.value === store.get(key));
    if (kept) {
      kept.checked = true;
      answer(kept);
    }
  }
});

// A link to what is folded opens it.
ready(() => {
  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details"))
      fold.open = true;
  };
  open();
  window.addEventListener("hashchange", open);
});

// What a term or a citation means, beside the link that has the pointer or the focus.
ready(() => {
  const terms = JSON.parse(document.getElementById("terms")?.textContent ?? "{}");
  const card = document.createElement("div");
  card.className = "card-beside";
  card.id = "card-beside";
  card.role = "tooltip";
  let link = null, leaving = 0;

  function hide() {
    clearTimeout(leaving);
    link?.removeAttribute("aria-describedby");
    link = null;
    card.remove();
  }
  function show(element, said) {
    hide();
    link = element;
    if (element.hash.startsWith("#term-")) card.innerHTML = said;
    else card.textContent = said;
    document.body.append(card);
    element.setAttribute("aria-describedby", card.id);
    const { left, top, bottom } = element.getBoundingClientRect();
    const { width, height } = card.getBoundingClientRect();
    const below = bottom + 4 + height < innerHeight || top < height + 4;
    card.style.left = `${scrollX + Math.max(8, Math.min(left, document.documentElement.clientWidth - width - 8))}px`;
    card.style.top = `${scrollY + (below ? bottom + 4 : top - height - 4)}px`;
    const formulas = [...card.querySelectorAll(".math.notranslate")];
    if (formulas.length) window.MathJax?.typesetPromise?.(formulas);
  }
  for (const element of document.querySelectorAll("a.reference.internal[href*='#']")) {
    const said = terms[element.getAttribute("href")] ?? element.title;
    if (!said) continue;
    element.removeAttribute("title"); // not twice
    const come = () => show(element, said);
    element.addEventListener("focus", come);
    element.addEventListener("mouseenter", come);
    element.addEventListener("blur", hide);
    // It may be read with the pointer on it.
    element.addEventListener("mouseleave", () => (leaving = setTimeout(hide, 300)));
  }
  card.addEventListener("mouseenter", () => clearTimeout(leaving));
  card.addEventListener("mouseleave", hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
});

// Names and states that the theme leaves out.
ready(() => {
  const html = document.documentElement;
  const colours = document.querySelectorAll(".theme-switch-button");
  const name = () => {
    for (const button of colours) button.setAttribute("aria-label", `Colours: ${html.dataset.mode}`);
  };
  name();
  for (const icon of document.querySelectorAll("i[class*=fa-], span[class*=fa-]"))
    icon.setAttribute("aria-hidden", "true");
  for (const field of document.querySelectorAll(".search-button-field"))
    field.setAttribute("aria-label", field.textContent.replace(/\s+/g, " ").trim());
  // A side bar stands beside the page, or comes in front of it as a dialog where there is no room.
  for (const side of ["primary", "secondary"]) {
    const bar = document.querySelector(`#pst-${side}-sidebar`);
    const dialog = document.querySelector(`#pst-${side}-sidebar-modal`);
    const toggles = document.querySelectorAll(`.${side}-toggle`);
    const tell = () => {
      const shown =
        bar?.checkVisibility?.({ visibilityProperty: true }) && !bar.classList.contains("pst-sidebar-hidden");
      for (const toggle of toggles) {
        toggle.setAttribute("aria-label", side === "primary" ? "Chapters" : "On this page");
        toggle.setAttribute("aria-expanded", String(Boolean(dialog?.open || shown)));
      }
    };
    window.addEventListener("load", () => requestAnimationFrame(tell));
    window.addEventListener("resize", tell);
    for (const element of [bar, dialog])
      if (element) new MutationObserver(tell).observe(element, { attributes: true });
  }
  new MutationObserver(name).observe(html, { attributes: true, attributeFilter: ["data-mode"] });

  // What scrolls sideways can be scrolled by the keyboard, too. Asked when it has been laid out anyway.
  const wide = new ResizeObserver((entries) => {
    const found = entries.map(({ target }) => [target, target.scrollWidth > target.clientWidth + 1]);
    for (const [box, scrolls] of found) {
      if (scrolls) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  });
  const observe = () => {
    wide.disconnect();
    for (const box of document.querySelectorAll(".bd-article :is(div.math, .pst-scrollable-table-container)"))
      wide.observe(box);
  };
  observe();
  new MutationObserver(observe).observe(html, { attributes: true, attributeFilter: ["data-formulas"] });
});

// Paper is white: what is printed from the dark theme is printed in the light one.
(() => {
  const html = document.documentElement;
  let screen = null;
  function print(begins) {
    if (begins && screen === null) {
      screen = html.dataset.theme;
      html.dataset.theme = "light";
    } else if (!begins && screen !== null) {
      html.dataset.theme = screen;
      screen = null;
    }
  }
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
  window.matchMedia("print").addEventListener("change", (paper) => print(paper.matches));
})();
