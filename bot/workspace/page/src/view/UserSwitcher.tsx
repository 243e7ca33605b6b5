/** Whose eyes one looks through: an approver is not the requester. */

import { ChevronsUpDown } from "lucide-react";

import { DIRECT } from "../model/place";
import type { User } from "../model/protocol";
import { Avatar } from "./Avatar";
import { useWorkspaceContext } from "./context";
import { Menu } from "./Menu";

export function UserSwitcher() {
  const { page, me, place, channel, go } = useWorkspaceContext();
  const roles = (user: User) => {
    const groups = page.user_groups.filter((group) => group.users.includes(user.id)).map((group) => `@${group.handle}`);
    return [user.title, ...groups].filter(Boolean).join(" · ");
  };
  const isDirect = channel(place.channel ?? "")?.is_im ?? false;
  return (
    <Menu
      label="Switch user"
      speaks
      heading="Use the workspace as"
      className="user-switcher"
      testId="user-switcher"
      items={page.users
        .filter((user) => !user.is_bot)
        .map((user) => ({
          key: user.id,
          checked: user.id === me.id,
          testId: `user-option-${user.id}`,
          choose: () => go(isDirect ? { user: user.id, channel: DIRECT, thread: null } : { user: user.id }),
          label: (
            <>
              <Avatar user={user} size="small" />
              <span className="who">
                <strong>{user.real_name}</strong>
                <small>{roles(user)}</small>
              </span>
            </>
          ),
        }))}
    >
      <Avatar user={me} size="medium" />
      <span className="who">
        <strong>{me.real_name}</strong>
        <small>{roles(me)}</small>
      </span>
      <span className="visually-hidden">Switch user</span>
      <ChevronsUpDown size={16} aria-hidden />
    </Menu>
  );
}
