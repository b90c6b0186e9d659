// The command that prints the tokens of the local stack's demo users, for trying the API as each role.
import { type Command, text, UsageError } from './command.ts';
import { print, printJson, table } from './output.ts';
import { localUsers } from './target.ts';

const token: Command = {
  words: 'token',
  usage: '[--role R]',
  summary: "print the tokens of the local stack's demo users",
  positionals: 0,
  options: {
    role: { type: 'string', value: 'R', help: 'one role only; prints nothing but the first token' },
  },
  async run({ values, json }) {
    const role = text(values, 'role');
    const users = localUsers().filter((user) => role === undefined || user.role === role);
    if (users.length === 0) throw new UsageError(`There is no demo user with the role "${role}".`);
    if (json) printJson({ users });
    else if (role !== undefined) print(users[0]?.token ?? '');
    else
      print(
        table(
          users.map((user) => [user.name, user.role, user.id, user.token]),
          ['NAME', 'ROLE', 'ID', 'TOKEN'],
        ),
      );
    return 0;
  },
};

export const tokenCommands = [token];
