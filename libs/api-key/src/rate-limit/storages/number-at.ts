/**
 * Returns the number at a place of the answer of a database.
 * @throws Error if the answer is shorter
 */
export function numberAt(answer: readonly number[], at: number): number {
  const value = answer[at];
  if (value === undefined) throw new Error('the database returned too few numbers');
  return value;
}
