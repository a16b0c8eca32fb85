/** Passwords are never shown, also where a text of the user comes back: a URL in a wrong place of the command line or file. */

/** The text without the passwords of the URLs in it. */
export function redact(text: string): string {
  return (
    text
      // To the last @ of the line, because a password that was not escaped may have one itself.
      .replace(/(:\/\/[^\s/?#:@]*:).*@/g, "$1***@")
      .replace(/([?&][^=&\s]*(?:pass|pwd|secret|token|credential)[^=&\s]*=)[^&\s'"]*/gi, "$1***")
  );
}
