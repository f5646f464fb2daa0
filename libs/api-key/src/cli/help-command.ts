import type { Command } from 'commander';

/** Adds `help`, which commander would answer with several lines if the command is unknown. */
export function addHelp(program: Command): void {
  program
    .command('help [command]')
    .description('show this help, or that of a command')
    .action((name?: string) => {
      if (name === undefined) return program.outputHelp();
      const command = program.commands.find((each) => each.name() === name);
      return command ? command.outputHelp() : program.error(wrongCommand(program, name));
    });
}

/** The message for an unknown or missing command. */
export function wrongCommand(program: Command, first: string | undefined): string {
  const commands = `Commands: ${namesOf(program)}.`;
  if (first === undefined) return `error: no command given. ${commands}`;
  if (first.startsWith('-'))
    return `error: '${first}' is not a command. Options follow the command. ${commands}`;
  return `error: unknown command '${first}'. ${commands}`;
}

function namesOf(program: Command): string {
  return program.commands.map((command) => command.name()).join(', ');
}
