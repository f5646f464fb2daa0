/** A check of the application that runs at boot. */
export interface BootCheck {
  /**
   * The faults that must stop the boot. Each text also says what to do.
   * @throws Error for a single fault, with its cause
   */
  problems?(): readonly string[] | Promise<readonly string[]>;
  /** Risks that may be intended. Called only if no check reports a fault. */
  warnings?(): readonly string[] | Promise<readonly string[]>;
}
