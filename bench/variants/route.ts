/** The path of the route in every variant. */
export const ROUTE = 'bench';

/** The answer of the route in every variant. */
export const ANSWER = { items: [], nextCursor: null };
