/**
 * Loads packages by name. Each function calls `require` with a literal name, because a bundler
 * finds only those.
 */
type Loaders = Readonly<Record<string, () => unknown>>;

/**
 * Checks that the application has the packages that a feature needs.
 * @param feature name of the feature, for people
 * @throws Error that names the feature and the packages to install, if a package is missing
 * @throws the error of a package that is installed and cannot be loaded
 * @example
 * requirePackages('OpenAPI documents', { '@nestjs/swagger': () => require('@nestjs/swagger') });
 */
export function requirePackages(feature: string, packages: Loaders): void {
  const missing = Object.entries(packages).flatMap(([name, load]) => (isInstalled(name, load) ? [] : [name]));
  if (missing.length === 0) return;
  throw new Error(
    `${feature} needs ${missing.join(' and ')}, which the application does not have. Run: npm install ${missing.join(' ')}`,
  );
}

function isInstalled(name: string, load: () => unknown): boolean {
  try {
    load();
    return true;
  } catch (error) {
    const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
    if (code === 'MODULE_NOT_FOUND' && String(message).startsWith(`Cannot find module '${name}'`))
      return false;
    throw error;
  }
}
