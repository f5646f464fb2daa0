/** A rule that the application must keep before it takes requests. */
export interface BootCheck {
  /**
   * What is wrong, each with what to do.
   * @throws Error that says the same, with its cause
   */
  problems?(): readonly string[] | Promise<readonly string[]>;
  /** What is dangerous, and may be wanted. Asked if nothing is wrong. */
  warnings?(): readonly string[];
}
