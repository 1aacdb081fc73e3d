/** Dark or light: as the system has it, or as was chosen. */

import { store } from "./store";

export type Theme = "system" | "light" | "dark";

const KEY = "rheostat-theme";
const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

const read = (): Theme => (localStorage.getItem(KEY) as Theme) || "system";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** What is chosen, and what that comes to. */
export const theme = store({ chosen: read(), dark: false });

function dress(): void {
  const chosen = read();
  const is = chosen === "system" ? dark.matches : chosen === "dark";
  document.documentElement.dataset["theme"] = is ? "dark" : "light";
  theme.set({ chosen, dark: is });
}

export function turnTheme(): void {
  localStorage.setItem(KEY, NEXT[read()]);
  dress();
}

dark.addEventListener("change", dress);
dress();
