// Before anything is drawn: the colours that the reader chose, else those of the system.
(() => {
  let theme = null;
  try { theme = localStorage.getItem("armspan-theme"); } catch { /* no storage: the system's */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
