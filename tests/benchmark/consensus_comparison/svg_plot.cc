#include "tests/benchmark/consensus_comparison/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace weft::comparison {
namespace {

constexpr double kWidth = 860;
constexpr double kRowHeight = 24;
constexpr double kTop = 66;
constexpr double kBottom = 56;
constexpr double kRight = 120;  // for labels beside the last marks
constexpr double kCharacter = 7.0;
constexpr char kInk[] = "#222222";
constexpr char kGrey[] = "#6b6b6b";
constexpr char kGrid[] = "#e4e4e4";

std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

std::string Text(double x, double y, const std::string& text, const char* anchor,
                 const char* color = kInk, int size = 13) {
  return absl::StrFormat(
      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\" font-size=\"%d\">%s</text>\n", x,
      y, anchor, color, size, Escape(text));
}

std::string Stroke(double x1, double y1, double x2, double y2, const char* color,
                   const char* dash = "") {
  return absl::StrFormat(
      "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"%s/>\n", x1, y1, x2, y2,
      color, *dash == '\0' ? std::string() : absl::StrCat(" stroke-dasharray=\"", dash, "\""));
}

std::string MarkAt(double x, double y, Mark mark) {
  switch (mark) {
    case Mark::kCircle:
      return absl::StrFormat("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"#0072B2\"/>\n", x, y);
    case Mark::kSquare:
      return absl::StrFormat(
          "<rect x=\"%.1f\" y=\"%.1f\" width=\"9\" height=\"9\" fill=\"#D55E00\"/>\n", x - 4.5,
          y - 4.5);
    case Mark::kDiamond:
      return absl::StrFormat("<path d=\"M%.1f %.1f l6 6 l-6 6 l-6 -6 z\" fill=\"#009E73\"/>\n", x,
                             y - 6);
    case Mark::kTriangle:
      return absl::StrFormat("<path d=\"M%.1f %.1f l6 10 l-12 0 z\" fill=\"#CC79A7\"/>\n", x,
                             y - 6);
  }
  return "";
}

std::string Open(double height, const std::string& title) {
  return absl::StrCat(
      absl::StrFormat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
                      "width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" role=\"img\">\n",
                      kWidth, height, kWidth, height),
      "<title>", Escape(title), "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
      "\n", Text(16, 24, title, "start", kInk, 15));
}

// 3, 2.95: no more digits than the ticks differ in.
std::string Number(double value, double step) {
  const int digits = step >= 1 ? 0 : static_cast<int>(std::ceil(-std::log10(step) - 1e-9));
  return absl::StrFormat("%.*f", digits, value);
}

struct Scale {
  double low = 0, high = 1;   // of values
  double begin = 0, end = 1;  // on the page
  bool logarithmic = false;
  double At(double value) const {
    const auto f = [this](double v) { return logarithmic ? std::log(v) : v; };
    return begin + (f(value) - f(low)) / (f(high) - f(low)) * (end - begin);
  }
};

// With a little air around what is shown.
Scale ScaleFor(double low, double high, double begin, double end) {
  const double air = std::max((high - low) * 0.06, 1e-3);
  return {low - air, high + air, begin, end};
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  void Add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

std::string Legend(const std::vector<std::pair<Mark, std::string>>& legend) {
  std::string out;
  double x = 16;
  for (const auto& [mark, name] : legend) {
    absl::StrAppend(&out, MarkAt(x + 6, 42, mark), Text(x + 17, 46, name, "start"));
    x += 34 + kCharacter * static_cast<double>(name.size());
  }
  return out;
}

}  // namespace

std::vector<double> RoundTicks(double low, double high) {
  const double rough = (high - low) / 6;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = power;
  for (const double factor : {2.0, 5.0, 10.0}) {
    if (step < rough) step = factor * power;
  }
  std::vector<double> ticks;
  for (double k = std::ceil(low / step); k * step <= high + step * 1e-9; ++k) {
    ticks.push_back(k * step);
  }
  return ticks;
}

std::string PlotRows(const RowPlot& plot) {
  size_t longest = 0;
  Range range;
  for (const Row& row : plot.rows) {
    longest = std::max(longest, row.name.size());
    for (const Dot& dot : row.dots) range.Add(dot.value);
  }
  for (const Line& line : plot.lines) range.Add(line.value);
  const double left = 28 + kCharacter * static_cast<double>(longest);
  const double bottom = kTop + kRowHeight * static_cast<double>(plot.rows.size());
  const Scale x = ScaleFor(range.low, range.high, left, kWidth - kRight);
  std::string out = absl::StrCat(Open(bottom + kBottom, plot.title), Legend(plot.legend));
  const std::vector<double> ticks = RoundTicks(x.low, x.high);
  for (const double tick : ticks) {
    const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
    absl::StrAppend(&out, Stroke(x.At(tick), kTop, x.At(tick), bottom, kGrid),
                    Text(x.At(tick), bottom + 18, Number(tick, step), "middle", kGrey));
  }
  for (const Line& line : plot.lines) {
    absl::StrAppend(&out, Stroke(x.At(line.value), kTop, x.At(line.value), bottom, kGrey, "4 3"),
                    Text(x.At(line.value), kTop - 6, line.label, "middle", kGrey, 12));
  }
  absl::StrAppend(&out, Text((left + kWidth - kRight) / 2, bottom + 42, plot.axis, "middle"));
  for (size_t i = 0; i < plot.rows.size(); ++i) {
    const double y = kTop + kRowHeight * (static_cast<double>(i) + 0.5);
    absl::StrAppend(&out, Text(left - 12, y + 4, plot.rows[i].name, "end"));
    for (const Dot& dot : plot.rows[i].dots) {
      absl::StrAppend(&out, MarkAt(x.At(dot.value), y, dot.mark));
      if (dot.label.empty()) continue;
      absl::StrAppend(&out, Text(x.At(dot.value) + 10, y + 4, dot.label, "start", kGrey, 12));
    }
  }
  return absl::StrCat(out, "</svg>\n");
}

std::string PlotPoints(const PointPlot& plot) {
  constexpr double kHeight = 520, kLeft = 78, kLabelHeight = 14, kLabelWidth = 150;
  Range x_range, y_range;
  for (const Point& point : plot.points) {
    x_range.Add(point.x);
    y_range.Add(point.y);
  }
  for (const Line& line : plot.lines) y_range.Add(line.value);
  const Scale x{x_range.low / 1.3, x_range.high * 1.3, kLeft, kWidth - 170, true};
  const Scale y = ScaleFor(y_range.low, y_range.high, kHeight - kBottom, kTop);
  std::string out = Open(kHeight, plot.title);
  const std::vector<double> ticks = RoundTicks(y.low, y.high);
  for (const double tick : ticks) {
    const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
    absl::StrAppend(&out, Stroke(kLeft, y.At(tick), x.end, y.At(tick), kGrid),
                    Text(kLeft - 8, y.At(tick) + 4, Number(tick, step), "end", kGrey));
  }
  for (double tick = std::pow(10, std::floor(std::log10(x.low))); tick <= x.high; tick *= 10) {
    for (const double at : {tick, 2 * tick, 5 * tick}) {
      if (at < x.low || at > x.high) continue;
      absl::StrAppend(&out, Stroke(x.At(at), kTop, x.At(at), y.begin, kGrid),
                      Text(x.At(at), y.begin + 18, Number(at, at), "middle", kGrey));
    }
  }
  absl::StrAppend(&out, Text((x.begin + x.end) / 2, y.begin + 42, plot.x_axis, "middle"),
                  Text(kLeft - 62, kTop - 12, plot.y_axis, "start"));
  for (const Line& line : plot.lines) {
    absl::StrAppend(&out, Stroke(kLeft, y.At(line.value), x.end, y.At(line.value), kGrey, "4 3"),
                    Text(x.end + 6, y.At(line.value) + 4, line.label, "start", kGrey, 12));
  }
  // The lowest marks are named first: a name that would stand over another, or over a mark, is
  // left out.
  std::vector<const Point*> rising;
  for (const Point& point : plot.points) rising.push_back(&point);
  std::stable_sort(rising.begin(), rising.end(),
                   [](const Point* a, const Point* b) { return a->y < b->y; });
  std::vector<std::pair<double, double>> named;
  for (const Point* point : rising) {
    const double at = x.At(point->x), height = y.At(point->y);
    absl::StrAppend(&out, MarkAt(at, height, point->mark));
    const bool free = std::none_of(named.begin(), named.end(), [&](const auto& other) {
      return std::abs(other.first - at) < kLabelWidth &&
             std::abs(other.second - height) < kLabelHeight;
    });
    const double end = at + 11 + kCharacter * static_cast<double>(point->label.size());
    const bool over_a_mark =
        std::any_of(plot.points.begin(), plot.points.end(), [&](const Point& other) {
          const double mark = x.At(other.x);
          return mark > at + 6 && mark < end && std::abs(y.At(other.y) - height) < 9;
        });
    if (!free || over_a_mark) continue;
    named.emplace_back(at, height);
    absl::StrAppend(&out, Text(at + 11, height + 4, point->label, "start", kInk, 12));
  }
  return absl::StrCat(out, "</svg>\n");
}

}  // namespace weft::comparison
