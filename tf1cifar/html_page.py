"""One HTML page that needs no other file: its figures are inside, and there is no script in it.

    page       the whole page
    paragraph  a paragraph
    figure     a matplotlib figure as an image
    table      rows of text
    settings   names with their values
    numbers    the most important numbers, large
    commands   command lines
    escaped    foreign text, such as the names of classes and files

All functions return HTML as a str. Texts are escaped here, so callers give plain text.
"""

import base64
import html

from tf1cifar import files

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem; max-width: 64rem; background: white; color: #111;
       font: 1.05rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .5rem; padding-top: .5rem; border-top: 2px solid #111; font-size: 1.35rem; }
h3 { margin: 1.6rem 0 .2rem; font-size: 1.1rem; }
p { margin: .4rem 0; max-width: 46rem; }
nav { margin: 1rem 0; line-height: 2; }
nav a { margin-right: 1rem; color: #003c8f; white-space: nowrap; }
.result { max-width: none; font-size: 1.5rem; font-weight: bold; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr));
           gap: .6rem; margin: 1rem 0; }
.numbers div { padding: .5rem .8rem; border: 1px solid #777; border-radius: .4rem; }
.numbers b { display: block; font-size: 1.3rem; }
.wide { overflow-x: auto; margin: .4rem 0; }
.wide img { display: block; max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .95rem; }
th, td { padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #bbb; text-align: left;
         vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
dl { columns: 17rem; margin: .4rem 0; font-size: .95rem; }
dl div { display: flex; gap: .6rem; padding: .15rem 0; border-bottom: 1px solid #bbb;
         break-inside: avoid; }
dt { flex: 0 0 45%; } dd { margin: 0; overflow-wrap: anywhere; }
dd b { text-decoration: underline; }
pre { padding: .6rem; border: 1px solid #777; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print {
  body { max-width: none; font-size: 10pt; } nav { display: none; }
  .wide { overflow: visible; break-inside: avoid; } .wide img { min-width: 0 !important; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; }
}
"""


def escaped(text):
    """Text as HTML; characters that cannot be shown become a space."""
    return html.escape("".join(c if c.isprintable() else " " for c in str(text)), quote=True)


def page(title, head, sections):
    """A page.

    Args:
      title: str.
      head: HTML that follows the title.
      sections: list of (id, heading, HTML); the ids are letters alone.

    Returns:
      The HTML of the page.
    """
    links = "".join(f'<a href="#{name}">{escaped(heading)}</a> ' for name, heading, _ in sections)
    parts = "".join(f'<section id="{name}"><h2>{escaped(heading)}</h2>\n{content}</section>\n'
                    for name, heading, content in sections)
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            # A page that somebody sends on must load nothing and run nothing.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            'img-src data:; style-src \'unsafe-inline\'">\n'
            f"<title>{escaped(title)}</title>\n<style>{STYLE}</style></head>\n"
            f"<body>\n<h1>{escaped(title)}</h1>\n{head}\n<nav>{links}</nav>\n{parts}</body></html>\n")


def paragraph(text, kind=""):
    """A paragraph of a CSS class, or of none."""
    return f'<p{f" class={kind}" if kind else ""}>{escaped(text)}</p>\n'


def figure(heading, words, drawn, vector=False):
    """A figure with its heading and the words that explain it.

    On a narrow screen the figure keeps a size at which its texts can be read, and scrolls.

    Args:
      heading, words: str.
      drawn: matplotlib `Figure`.
      vector: whether to draw lines and texts as such, which stay sharp on a projector.

    Returns:
      HTML.
    """
    width = round(drawn.get_figwidth() * drawn.dpi)
    data = base64.b64encode(files.figure_bytes(drawn, "svg" if vector else "png")).decode()
    image = "svg+xml" if vector else "png"
    return (f"<h3>{escaped(heading)}</h3>\n{paragraph(words)}"
            f'<div class="wide"><img style="width:{width}px;min-width:{round(width * 0.55)}px" '
            f'alt="{escaped(heading)}" src="data:image/{image};base64,{data}"></div>\n')


def table(heading, heads, rows, numbers=()):
    """A table.

    Args:
      heading: str.
      heads: list of str, the heads of the columns.
      rows: list of lists of str.
      numbers: numbers of the columns that hold numbers, which stand on the right.

    Returns:
      HTML.
    """
    def row(kind, texts):
        return "<tr>" + "".join(
            f"<{kind}{' class=n' if number in numbers else ''}>{escaped(text)}</{kind}>"
            for number, text in enumerate(texts)) + "</tr>"

    lines = [row("th", heads), *(row("td", texts) for texts in rows)]
    return (f'<h3>{escaped(heading)}</h3>\n<div class="wide"><table>\n'
            + "\n".join(lines) + "\n</table></div>\n")


def settings(heading, pairs):
    """Names with their values.

    Args:
      heading: str.
      pairs: list of (name, value); a value in a list of one is underlined.

    Returns:
      HTML.
    """
    def shown(value):
        return f"<b>{escaped(value[0])}</b>" if isinstance(value, list) else escaped(value)

    content = "\n".join(f"<div><dt>{escaped(name)}</dt><dd>{shown(value)}</dd></div>"
                        for name, value in pairs)
    return f"<h3>{escaped(heading)}</h3>\n<dl>{content}</dl>\n"


def numbers(pairs):
    """The most important numbers, large: HTML of a list of (words, number)."""
    content = "".join(f"<div>{escaped(words)}<b>{escaped(value)}</b></div>"
                      for words, value in pairs)
    return f'<div class="numbers">{content}</div>\n'


def commands(*lines):
    """Command lines: HTML."""
    return "<pre>" + "\n".join(map(escaped, lines)) + "</pre>\n"
