/** Passwords are never shown, also where a text of the user comes back: a URL in a wrong place of the command line or file. */

/** Options of a URL whose values are secret; more rather than fewer than in the core's `is_sensitive`. */
const SENSITIVE =
  /([?&][^=&\s]*(?:pass|pwd|secret|token|credential|replicas|auth[-_.]?mechanism[-_.]?properties)[^=&\s]*=)[^&\s'"]*/gi;

/** The text without the passwords of the URLs in it. */
export function redact(text: string): string {
  return (
    text
      // To the last @ of the line, because a password that was not escaped may have one itself. A path has one slash.
      .replace(/(:\/\/?[^\s/?#:@]*:).*@/g, "$1***@")
      .replace(SENSITIVE, "$1***")
  );
}
