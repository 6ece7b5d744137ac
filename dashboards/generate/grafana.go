package main

import (
	"bytes"
	"encoding/json"
)

// The parts of Grafana's classic dashboard schema that we use, in the order in which Grafana itself writes them.

type object = map[string]any

type dashboard struct {
	Annotations   object     `json:"annotations"`
	Description   string     `json:"description"`
	Editable      bool       `json:"editable"`
	GraphTooltip  int        `json:"graphTooltip"` // 1: the crosshair is shared by all panels
	Links         []link     `json:"links"`
	Panels        []*panel   `json:"panels"`
	Refresh       string     `json:"refresh"`
	SchemaVersion int        `json:"schemaVersion"`
	Tags          []string   `json:"tags"`
	Templating    object     `json:"templating"`
	Time          object     `json:"time"`
	Timezone      string     `json:"timezone"`
	Title         string     `json:"title"`
	UID           string     `json:"uid"`
	Version       int        `json:"version"`
	variables     []variable // become Templating
	noValue       string     // of every panel that has none of its own
	narrowed      bool       // to the replicas that are chosen
	last          int        // id of a panel
	inner         *[]*panel  // of the row that is being filled and closed
	shaded        []int      // ids of the panels that faults shade; none: all
}

type link struct {
	AsDropdown  bool     `json:"asDropdown"`
	IncludeVars bool     `json:"includeVars"`
	KeepTime    bool     `json:"keepTime"`
	Tags        []string `json:"tags"`
	Title       string   `json:"title"`
	Type        string   `json:"type"`
	URL         string   `json:"url"`
}

type dataLink struct {
	Title       string `json:"title"`
	URL         string `json:"url"`
	TargetBlank bool   `json:"targetBlank"`
}

type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type grid struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

type panel struct {
	Datasource      *source      `json:"datasource,omitempty"`
	Description     string       `json:"description,omitempty"`
	FieldConfig     *fieldConfig `json:"fieldConfig,omitempty"`
	GridPos         grid         `json:"gridPos"`
	ID              int          `json:"id"`
	MaxPerRow       int          `json:"maxPerRow,omitempty"`
	Options         object       `json:"options,omitempty"`
	Collapsed       *bool        `json:"collapsed,omitempty"` // of rows, which also have an empty list of panels
	Panels          *[]*panel    `json:"panels,omitempty"`
	Repeat          string       `json:"repeat,omitempty"`
	RepeatDirection string       `json:"repeatDirection,omitempty"`
	Targets         []target     `json:"targets,omitempty"`
	Title           string       `json:"title"`
	Transformations []object     `json:"transformations,omitempty"`
	Type            string       `json:"type"`
}

type fieldConfig struct {
	Defaults  defaults   `json:"defaults"`
	Overrides []override `json:"overrides"`
}

type defaults struct {
	Color      object     `json:"color,omitempty"`
	Custom     object     `json:"custom,omitempty"`
	Decimals   *int       `json:"decimals,omitempty"`
	Links      []dataLink `json:"links,omitempty"`
	Mappings   []object   `json:"mappings"`
	Max        *float64   `json:"max,omitempty"`
	Min        *float64   `json:"min,omitempty"`
	NoValue    string     `json:"noValue,omitempty"`
	Thresholds object     `json:"thresholds,omitempty"`
	Unit       string     `json:"unit,omitempty"`
}

type override struct {
	Matcher    object   `json:"matcher"`
	Properties []object `json:"properties"`
}

type target struct {
	Datasource   source `json:"datasource"`
	EditorMode   string `json:"editorMode"`
	Exemplar     bool   `json:"exemplar"`
	Expr         string `json:"expr"`
	Format       string `json:"format,omitempty"`
	Instant      bool   `json:"instant"`
	LegendFormat string `json:"legendFormat"`
	Range        bool   `json:"range"`
	RefID        string `json:"refId"`
}

type variable = object

var prometheus = source{"prometheus", "$datasource"}

// json returns the board as a file: two spaces, < and > as they are, a newline at the end.
func (d *dashboard) json() []byte {
	d.layOut()
	d.narrow()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		panic(err) // there is nothing in a board that JSON cannot say
	}
	return out.Bytes()
}
