"""Badges: small frames with a sign and a few letters, painted into the cell of a list."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QModelIndex, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetrics, QPainter, QPalette, QPen
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

BADGES = Qt.ItemDataRole.UserRole + 1  # a sequence of pairs: sign, text
WARN = "⚠"
LOCK = "🔒"  # drawn, as many fonts have none
BADGE_WIDTH = 72  # pixels of one badge; what is longer is elided
ELIDED = 44  # pixels in which an elided badge still says something
GAP, PAD = 3, 3
LINE_PADDING = 3  # pixels above and below a line of text


Shown = tuple[str, str]


class BadgeDelegate(QStyledItemDelegate):
    """Paints the badges of a cell side by side; where they have no room, as many as there is room for and an ellipsis.

    Attributes
    ----------
    tint : str
        The colour of what is wrong.
    """

    tint = ""

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint the cell as the style does, its badges instead of its text."""
        assert painter is not None
        option = QStyleOptionViewItem(option)  # that of the view is not ours to change
        self.initStyleOption(option, index)
        option.text = ""
        option.widget.style().drawControl(QStyle.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        metrics, x = option.fontMetrics, option.rect.left() + GAP
        painter.save()
        badges = list(index.data(BADGES) or ())
        for i, badge in enumerate(badges):
            rest = 0 if i == len(badges) - 1 else metrics.horizontalAdvance("…") + GAP
            shown, width = fitting(badge, metrics, option.rect.right() - x - rest)
            if not shown:
                room = QRectF(x, option.rect.top(), option.rect.right() - x, option.rect.height())
                painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, "…")
                break
            self._draw(painter, QRectF(x, option.rect.top() + 1, width, option.rect.height() - 2), shown, option)
            x += width + GAP
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return the width of all of them, and a height at which the frames of two lines do not touch."""
        hint = super().sizeHint(option, index)
        height = max(hint.height(), option.fontMetrics.height() + 2 * LINE_PADDING)
        return QSize(width_of_all(index.data(BADGES) or (), option.fontMetrics), height)

    def _draw(self, painter: QPainter, frame: QRectF, badge: Shown, option: QStyleOptionViewItem) -> None:
        sign, text = badge
        plain = option.palette.color(QPalette.ColorRole.WindowText)
        # on the colour of what is selected only plain text can be read
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        colour = QColor(self.tint) if sign == WARN and self.tint and not selected else plain
        line = QColor(colour)
        line.setAlpha(110)
        painter.setPen(QPen(line))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(frame.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
        painter.setPen(QPen(colour))
        inner = frame.adjusted(PAD, 0, -PAD, 0)
        if sign == LOCK:
            _draw_lock(painter, inner, colour)
            inner.setLeft(inner.left() + lock_width(option.fontMetrics))
            sign = ""
        words = " ".join(part for part in (sign, text) if part)
        elided = option.fontMetrics.elidedText(words, Qt.TextElideMode.ElideRight, int(inner.width()) + 1)
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, elided)


def width_of(badge: Shown, metrics: QFontMetrics) -> int:
    """Return the pixels that a badge takes."""
    sign, text = badge
    words = text if sign == LOCK else " ".join(part for part in (sign, text) if part)
    inner = metrics.horizontalAdvance(words) + (lock_width(metrics) if sign == LOCK else 0)
    return min(inner + 2 * PAD, BADGE_WIDTH)


def fitting(badge: Shown, metrics: QFontMetrics, room: int) -> tuple[Shown | None, int]:
    """Return a badge as it fits into so many pixels, elided or its sign alone, and its width; None if it does not."""
    width = width_of(badge, metrics)
    if width <= room:
        return badge, width
    if room >= ELIDED:
        return badge, room
    width = width_of((badge[0], ""), metrics)
    return ((badge[0], ""), width) if badge[0] and width <= room else (None, 0)


def width_of_all(badges: Sequence[Shown], metrics: QFontMetrics) -> int:
    """Return the pixels that badges take side by side; 0 for none."""
    return sum(width_of(badge, metrics) + GAP for badge in badges) + GAP if badges else 0


def lock_width(metrics: QFontMetrics) -> int:
    """Return the pixels of the padlock and the gap behind it."""
    return int(0.75 * metrics.ascent()) + 2


def _draw_lock(painter: QPainter, frame: QRectF, colour: QColor) -> None:
    size = 0.75 * painter.fontMetrics().ascent()
    body = QRectF(frame.left(), frame.center().y() - 0.1 * size, 0.8 * size, 0.65 * size)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    bow = QRectF(body.left() + 0.14 * size, body.top() - 0.5 * size, 0.52 * size, size)
    painter.drawArc(bow, 0, 180 * 16)
    painter.fillRect(body, colour)
