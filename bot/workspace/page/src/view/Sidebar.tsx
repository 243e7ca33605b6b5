/** The left side: workspace, channels, the app, and who one is. */

import { Hash } from "lucide-react";
import { useEffect, useRef } from "react";

import { readMarks } from "../model/place";
import type { Channel } from "../model/protocol";
import { Avatar } from "./Avatar";
import { useWorkspaceContext } from "./context";
import { UserSwitcher } from "./UserSwitcher";

interface Props {
  /** It lies over the rest, in a narrow window. */
  drawer: boolean;
  onLeave: () => void;
}

export function Sidebar({ drawer, onLeave }: Props) {
  const { page, store } = useWorkspaceContext();
  const box = useRef<HTMLElement>(null);

  useEffect(() => {
    if (!drawer) return;
    box.current?.querySelector<HTMLElement>("[aria-current]")?.focus();
    const escape = (event: KeyboardEvent) => {
      if (event.key === "Escape") onLeave();
    };
    addEventListener("keydown", escape);
    return () => removeEventListener("keydown", escape);
  }, [drawer, onLeave]);

  const channels = page.channels.filter((channel) => !channel.is_im);
  const direct = page.channels.filter((channel) => channel.is_im);
  return (
    <nav ref={box} className="sidebar" aria-label="Channels" data-testid="sidebar" onClick={onLeave}>
      <header className="team" onClick={(event) => event.stopPropagation()}>
        <h1>{page.team.name}</h1>
        <span className={`presence ${store.online ? "on" : ""}`} title={store.online ? "Connected" : "Connecting…"} />
      </header>
      <div className="sidebar-lists">
        <Group title="Channels" channels={channels} />
        <Group title="Apps" channels={direct} />
      </div>
      <div onClick={(event) => event.stopPropagation()}>
        <UserSwitcher />
      </div>
    </nav>
  );
}

function Group({ title, channels }: { title: string; channels: Channel[] }) {
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <ul>
        {channels.map((channel) => (
          <li key={channel.id}>
            <ChannelLink channel={channel} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function ChannelLink({ channel }: { channel: Channel }) {
  const { page, place, store, bot, go, channelTitle } = useWorkspaceContext();
  const current = place.channel === channel.id;
  const read = readMarks(page.user)[channel.id] ?? "";
  const unread = !current && channel.latest !== null && channel.latest > read;
  const mentions = current ? 0 : (store.mentions[channel.id] ?? 0);
  const name = channelTitle(channel).replace(/^#/, "");
  return (
    <button
      type="button"
      className={`channel-link ${current ? "current" : ""} ${unread ? "unread" : ""}`}
      aria-current={current ? "page" : undefined}
      data-testid={channel.is_im ? "channel-dm-bot" : `channel-${channel.name}`}
      onClick={() => go({ channel: channel.id, thread: null, home: false })}
    >
      {channel.is_im ? <Avatar user={bot} size="tiny" /> : <Hash size={16} aria-hidden />}
      <span className="channel-link-name">{name}</span>
      {unread && <span className="visually-hidden">(unread)</span>}
      {mentions > 0 && (
        <span className="badge" aria-label={`${mentions} mentions`}>
          {mentions}
        </span>
      )}
    </button>
  );
}
