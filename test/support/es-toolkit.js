/** Loads each function of `es-toolkit/compat` when it is first used. */
module.exports = new Proxy({}, { get: (_, name) => require(`es-toolkit/compat/${String(name)}`) });
