/** The little bar that appears over a message: react, reply, the app's shortcuts. */

import { MessageSquareText, MoreVertical, SmilePlus } from "lucide-react";

import { emoji } from "../model/format";
import type { Message } from "../model/protocol";
import { useDirectory } from "./context";
import { EmojiPicker } from "./EmojiPicker";
import { Menu } from "./Menu";

const QUICK = ["white_check_mark", "eyes", "+1"];

export function MessageActions({ message, inThread }: { message: Message; inThread: boolean }) {
  const { me, shortcuts: all, send, go } = useDirectory();
  const shortcuts = all.filter((shortcut) => shortcut.type === "message");
  const react = (name: string) => {
    const mine = message.reactions.some((one) => one.name === name && one.users.includes(me.id));
    void send.react(message, name, mine);
  };
  return (
    <div className="message-actions" role="toolbar" aria-label="Message actions">
      {QUICK.map((name) => (
        <button
          key={name}
          type="button"
          className="icon-button"
          aria-label={`React with ${name.replaceAll("_", " ")}`}
          data-testid={`react-${name}-${message.ts}`}
          onClick={() => react(name)}
        >
          {emoji(name)}
        </button>
      ))}
      <EmojiPicker label="Find another reaction" className="icon-button" testId={`react-${message.ts}`} onPick={react}>
        <SmilePlus size={18} aria-hidden />
      </EmojiPicker>
      {!inThread && (
        <button
          type="button"
          className="icon-button"
          aria-label="Reply in thread"
          title="Reply in thread"
          data-testid={`open-thread-${message.ts}`}
          onClick={() => go({ channel: message.channel, thread: message.thread_ts ?? message.ts, home: false })}
        >
          <MessageSquareText size={18} aria-hidden />
        </button>
      )}
      {shortcuts.length > 0 && (
        <Menu
          label="More actions"
          className="icon-button"
          align="end"
          testId={`more-${message.ts}`}
          items={shortcuts.map((shortcut) => ({
            key: shortcut.callback_id,
            label: shortcut.name,
            testId: `shortcut-${shortcut.callback_id}`,
            choose: () => void send.shortcut(shortcut.callback_id, message),
          }))}
        >
          <MoreVertical size={18} aria-hidden />
        </Menu>
      )}
    </div>
  );
}
