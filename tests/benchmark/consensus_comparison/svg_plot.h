// Two kinds of plots as SVG, light enough to read as text: rows of dots on one axis, and points on
// two. Axes carry units, marks carry their names beside them, and the colours (Okabe and Ito 2008)
// stay apart for colour-blind readers; where two kinds of marks meet, their shapes differ as well.
//
//   WriteFileDurably("out/ranking.svg", PlotRows(plot));
//
// Pure.
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SVG_PLOT_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SVG_PLOT_H_

#include <string>
#include <vector>

namespace weft::comparison {

enum class Mark { kCircle, kSquare, kDiamond, kTriangle };  // blue, orange, green, purple

struct Dot {
  double value = 0;
  Mark mark = Mark::kCircle;
  std::string label;  // beside it; empty: none
};
struct Row {
  std::string name;
  std::vector<Dot> dots;
};
struct Line {  // through all rows
  double value = 0;
  std::string label;
};
struct RowPlot {
  std::string title;
  std::string axis;  // "bits per byte (lower is better)"
  std::vector<Row> rows;
  std::vector<Line> lines;
  std::vector<std::pair<Mark, std::string>> legend;  // only where marks are not labelled
};
std::string PlotRows(const RowPlot& plot);

struct Point {
  double x = 0;  // above 0
  double y = 0;
  Mark mark = Mark::kCircle;
  std::string label;
};
struct PointPlot {
  std::string title;
  std::string x_axis;  // logarithmic
  std::string y_axis;
  std::vector<Point> points;
  std::vector<Line> lines;  // at a y
};
// Labels that would stand over a mark, or over that of a lower mark, are left out.
std::string PlotPoints(const PointPlot& plot);

// The round numbers within [low, high], about 3 to 7 of them. Requires low < high.
std::vector<double> RoundTicks(double low, double high);

}  // namespace weft::comparison

#endif  // WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SVG_PLOT_H_
