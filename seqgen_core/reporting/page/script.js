"use strict";
(() => {
  const root = document.documentElement, button = document.getElementById("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", (dark() ? "Light" : "Dark") + " colours"); };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; label(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();

  const closed = [...document.querySelectorAll("details:not([open])")];
  addEventListener("beforeprint", () => closed.forEach((one) => { one.dataset.was = one.open ? "1" : ""; one.open = true; }));
  addEventListener("afterprint", () => closed.forEach((one) => { one.open = one.dataset.was === "1"; }));

  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const players = [...document.querySelectorAll(".player[data-seconds]")];
  const audios = players.map((player) => player.querySelector("audio"));
  players.forEach((player) => {
    const audio = player.querySelector("audio"), stage = player.querySelector(".stage"), cursor = player.querySelector(".cursor");
    const seconds = Number(player.dataset.seconds);
    let until = Infinity;
    const show = () => {
      cursor.hidden = audio.currentTime === 0 && audio.paused;
      cursor.style.setProperty("--at", Math.min(100, 100 * audio.currentTime / seconds));
      if (audio.currentTime >= until) { audio.pause(); until = Infinity; }
    };
    const follow = () => { show(); if (!audio.paused && !still.matches) requestAnimationFrame(follow); };
    audio.addEventListener("play", () => { audios.forEach((other) => { if (other !== audio) other.pause(); }); follow(); });
    ["timeupdate", "seeked", "pause", "ended"].forEach((name) => audio.addEventListener(name, show));
    const start = (from, to) => { until = to; audio.currentTime = from; audio.play().catch(() => {}); };
    stage.addEventListener("click", (event) => {
      const box = stage.getBoundingClientRect();
      start(Math.max(0, Math.min(seconds, seconds * (event.clientX - box.left) / box.width)), Infinity);
    });
    player.querySelectorAll("button").forEach((one) => {
      one.addEventListener("click", () => start(Number(one.dataset.from), one.dataset.to ? Number(one.dataset.to) : Infinity));
    });
  });
})();
