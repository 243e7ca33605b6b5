/** Blocks as `slack-blocks-to-jsx` draws them, with our people, channels and links. */

import { type Block, Message, type MessageProps } from "slack-blocks-to-jsx";
import { memo, useMemo } from "react";

import { emoji } from "../model/format";
import { isSafeLink } from "../model/mrkdwn";
import type { Json } from "../model/protocol";
import { useDirectory } from "../view/context";
import { type NameOf, prepare } from "./prepare";

type Hooks = NonNullable<MessageProps["hooks"]>;

const Library = memo(Message);

export function Drawn({ block }: { block: Json }) {
  const { users, channels, groups, me, theme, person, channel, go } = useDirectory();

  const data = useMemo(
    () => ({
      users: users.map(({ id, real_name: name }) => ({ id, name })),
      channels: channels.map(({ id, name }) => ({ id, name })),
      user_groups: groups.map(({ id, handle: name }) => ({ id, name })),
    }),
    [users, channels, groups],
  );

  const hooks = useMemo(
    (): Hooks => ({
      user: ({ id }) => (
        <span className={`mention ${id === me.id ? "mention-me" : ""}`}>@{person(id)?.real_name ?? id}</span>
      ),
      usergroup: ({ id }) => {
        const group = groups.find((one) => one.id === id);
        return (
          <span className={`mention ${group?.users.includes(me.id) ? "mention-me" : ""}`}>@{group?.handle ?? id}</span>
        );
      },
      channel: ({ id }) => {
        const found = channel(id);
        return found ? (
          <button type="button" className="mention" onClick={() => go({ channel: id, thread: null, home: false })}>
            #{found.name}
          </button>
        ) : (
          <span className="mention">#{id}</span>
        );
      },
      atHere: () => <span className="mention mention-me">@here</span>,
      atChannel: () => <span className="mention mention-me">@channel</span>,
      atEveryone: () => <span className="mention mention-me">@everyone</span>,
      emoji: (found, parse) => emoji(found.name) ?? parse(found),
      link: ({ href, children }) =>
        isSafeLink(href) ? (
          <a href={href} target="_blank" rel="noopener noreferrer">
            {children}
          </a>
        ) : (
          <span>{children}</span>
        ),
    }),
    [groups, me.id, person, channel, go],
  );

  const blocks = useMemo(() => {
    const nameOf: NameOf = {
      user: (id) => person(id)?.real_name ?? id,
      channel: (id) => channel(id)?.name ?? id,
      group: (id) => groups.find((one) => one.id === id)?.handle ?? id,
    };
    return [prepare(block, nameOf) as Block];
  }, [block, person, channel, groups]);

  return <Library blocks={blocks} name="" logo="" withoutWrapper theme={theme} data={data} hooks={hooks} />;
}
