/** Light or dark, as the system says, also when it changes. */

import { useSyncExternalStore } from "react";

const dark = matchMedia("(prefers-color-scheme: dark)");

const subscribe = (changed: () => void) => {
  dark.addEventListener("change", changed);
  return () => dark.removeEventListener("change", changed);
};

export const useTheme = () => useSyncExternalStore(subscribe, () => (dark.matches ? "dark" : "light"));
