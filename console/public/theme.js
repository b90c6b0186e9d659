// Sets the theme before the first paint, so that nothing flashes.
(() => {
  try {
    const theme = localStorage.getItem('rk:theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {} // storage is switched off
})();
