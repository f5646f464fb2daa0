/** PostgreSQL ended the transaction in favour of another one: serialization failure, deadlock. */
const MAY_BE_RETRIED = ['40001', '40P01'];
const ATTEMPTS = 5;

/** Makes a transaction again, as a whole, if PostgreSQL ended it in favour of another one. */
export async function retried<T>(transaction: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await transaction();
    } catch (error) {
      const code = String((error as { code?: unknown } | null)?.code);
      if (attempt === ATTEMPTS || !MAY_BE_RETRIED.includes(code)) throw error;
    }
  }
}
