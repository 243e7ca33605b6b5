/** What the system and the window are like, also when that changes. */

import { useCallback, useSyncExternalStore } from "react";

export function useMedia(query: string): boolean {
  const subscribe = useCallback(
    (changed: () => void) => {
      const media = matchMedia(query);
      media.addEventListener("change", changed);
      return () => media.removeEventListener("change", changed);
    },
    [query],
  );
  return useSyncExternalStore(subscribe, () => matchMedia(query).matches);
}

/** Light or dark, as the system says. */
export const useTheme = () => (useMedia("(prefers-color-scheme: dark)") ? "dark" : "light");

/** One pane at a time; the same width as in `narrow.css`. */
export const useNarrow = () => useMedia("(max-width: 720px)");
