/** A person's initials on their colour; the bot's seal; an emoji when the bot asks for one. */

import { emoji, initials } from "../model/format";
import type { User } from "../model/protocol";
import { useDirectory } from "./context";

interface Props {
  user: Pick<User, "id" | "real_name" | "is_bot">;
  size?: "small" | "medium" | "large" | "tiny";
  /** `:robot_face:`, instead of the bot's own picture. */
  icon?: string | null;
}

/** The styles have ten: `.person-0` … `.person-9`. */
const COLOURS = 10;

export function Avatar({ user, size = "medium", icon = null }: Props) {
  const { users } = useDirectory();
  const picture = icon ? emoji(icon.replaceAll(":", "")) : undefined;
  if (picture) {
    return (
      <span className={`avatar ${size} emoji-avatar`} aria-hidden>
        {picture}
      </span>
    );
  }
  if (user.is_bot) {
    return (
      <span className={`avatar ${size} bot-avatar`} aria-hidden>
        <svg viewBox="0 0 36 36">
          <path d="M10 19.5l5.5 5.5L27 12" />
          <path d="M8 29.5h20" />
        </svg>
      </span>
    );
  }
  const colour = (users.findIndex((one) => one.id === user.id) + COLOURS) % COLOURS;
  return (
    <span className={`avatar ${size} person-${colour}`} aria-hidden>
      {initials(user.real_name)}
    </span>
  );
}
