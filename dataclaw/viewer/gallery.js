// Filters the cards of this page by domain and task; the address keeps the choice (index.html#domain=gui).
(() => {
  const cards = [...document.querySelectorAll(".card")];
  const groups = [...document.querySelectorAll("[data-filter]")];
  const told = document.getElementById("matches");

  const apply = () => {
    const chosen = groups.map((group) => [
      group.dataset.filter,
      [...group.querySelectorAll('[aria-pressed="true"]')].map((button) => button.dataset.value),
    ]);
    let shown = 0;
    for (const card of cards) {
      card.hidden = !chosen.every(([name, values]) => !values.length || values.includes(card.dataset[name]));
      shown += !card.hidden;
    }
    told.textContent = shown === cards.length ? "" : `${shown} of ${cards.length} on this page`;
    for (const link of document.querySelectorAll(".pages a")) {
      link.hash = new URLSearchParams(chosen.flatMap(([name, values]) => values.map((value) => [name, value]))).toString();
    }
  };

  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const group of groups) {
    for (const button of group.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(wanted.getAll(group.dataset.filter).includes(button.dataset.value)));
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        apply();
      });
    }
  }
  apply();
})();
