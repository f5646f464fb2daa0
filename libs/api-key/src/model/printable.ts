/**
 * Characters that a terminal or a log viewer obeys instead of showing them: control characters such
 * as U+009B, format characters such as U+202E, which reverses a line, and the line ends U+2028 and
 * U+2029.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Shows control and format characters of a text as escapes, such as `\u202e`. Use this for names
 * and other stored texts in a terminal or a log.
 */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, escaped);
}

/**
 * The same, but keeps line feeds. JSON text keeps its value, because JSON has the same escapes, and
 * needs no such character outside of its strings.
 */
export function printableLines(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) => (character === '\n' ? character : escaped(character)));
}

/** A character beyond U+FFFF has two code units, and so two escapes, as in JSON. */
function escaped(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
