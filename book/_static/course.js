// jupyterquiz and MathJax. A quiz that finds MathJax's settings before MathJax itself has started
// fetches another copy from the network and replaces ours. So it finds nothing: the settings are
// back when the page is parsed, before deferred scripts run, and the quizzes' formulas are set then.
(() => {
  const settings = window.MathJax;
  if (!settings || document.readyState !== "loading") return;
  delete window.MathJax;
  settings.startup = {
    pageReady: () =>
      window.MathJax.startup
        .defaultPageReady()
        .then(() => window.MathJax.typesetPromise([...document.querySelectorAll(".Quiz")])),
  };
  document.addEventListener("readystatechange", () => (window.MathJax ??= settings), { once: true });
})();

// Plotly figures in the page: the library is fetched from beside this file, once, by pages that
// have such a figure; and figures follow the theme's colours (see course.css).
(() => {
  const here = document.currentScript.src;
  const html = document.documentElement;

  // {"#2f80d8": "#1d6fc4", ...}: the mid-tones of tutor/materials/figures.py to this page's shades.
  const NAMES = ["2f80d8", "d2622a", "0f8a63", "b04fa5", "7c8796", "767b84", "8b939e"];
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

  function load() {
    return new Promise((resolve, reject) => {
      // Plotly would otherwise change the settings of the page's MathJax.
      window.PlotlyConfig = { MathJaxConfig: "local" };
      const script = document.createElement("script");
      script.src = new URL("plotly.min.js", here);
      script.onload = resolve;
      script.onerror = () => reject(new Error("plotly.min.js is not beside course.js"));
      document.head.append(script);
    });
  }

  async function draw() {
    const figures = [...document.querySelectorAll(".plotly-figure")];
    if (!figures.length) return;
    await load();
    let current = shades();
    for (const figure of figures) {
      const { data, layout, frames } = recolour(
        JSON.parse(figure.querySelector("script").textContent),
        current,
      );
      await window.Plotly.newPlot(figure, {
        data,
        layout,
        frames,
        config: { responsive: true, displaylogo: false, displayModeBar: false },
      });
    }
    new MutationObserver(() => {
      const next = shades();
      const map = Object.fromEntries(Object.keys(next).map((name) => [current[name], next[name]]));
      current = next;
      for (const figure of figures) {
        // What is drawn now, not what was drawn first: a moved slider stays where it is.
        recolour(figure.data, map);
        recolour(figure.layout, map);
        window.Plotly.redraw(figure);
      }
    }).observe(html, { attributes: true, attributeFilter: ["data-theme"] });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", draw);
  else draw();
})();

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
