// The parts of Apache ECharts that devbench/forms/templates/charts.js uses, as the global `echarts`.
import { BarChart, CustomChart, LineChart, ScatterChart } from "echarts/charts";
import {
  AriaComponent,
  DataZoomSliderComponent,
  GraphicComponent,
  GridComponent,
  TooltipComponent,
} from "echarts/components";
import { init, use } from "echarts/core";
import { LabelLayout } from "echarts/features";
import { SVGRenderer } from "echarts/renderers";

use([
  AriaComponent, BarChart, CustomChart, DataZoomSliderComponent, GraphicComponent, GridComponent, LabelLayout,
  LineChart, SVGRenderer, ScatterChart, TooltipComponent,
]);
globalThis.echarts = { init };
