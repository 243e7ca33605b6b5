/** The emoji below a message; pressing one adds or takes back one's own. */

import { SmilePlus } from "lucide-react";

import { emoji } from "../model/format";
import type { Message } from "../model/protocol";
import { useDirectory } from "./context";
import { EmojiPicker } from "./EmojiPicker";

export function Reactions({ message }: { message: Message }) {
  const { me, person, send } = useDirectory();
  if (message.reactions.length === 0) return null;
  return (
    <div className="reactions">
      {message.reactions.map(({ name, count, users }) => {
        const mine = users.includes(me.id);
        const who = users.map((id) => (id === me.id ? "You" : (person(id)?.real_name ?? id))).join(", ");
        return (
          <button
            key={name}
            type="button"
            className={`reaction ${mine ? "mine" : ""}`}
            aria-pressed={mine}
            aria-label={`${count} ${name.replaceAll("_", " ")}`}
            title={`${who} reacted with :${name}:`}
            data-testid={`reaction-${name}-${message.ts}`}
            onClick={() => void send.react(message, name, mine)}
          >
            <span aria-hidden>{emoji(name) ?? `:${name}:`}</span> {count}
          </button>
        );
      })}
      <EmojiPicker
        label="Add a reaction"
        className="reaction add"
        onPick={(name) => void send.react(message, name, false)}
      >
        <SmilePlus size={16} aria-hidden />
      </EmojiPicker>
    </div>
  );
}
