import manifest from '../package.json' with { type: 'json' };

/** The release that this process is of: that of the repository, which all its packages have. */
export const version: string = manifest.version;
