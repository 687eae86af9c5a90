// Features of a picture in Go, by ONNX Runtime's shared library (libonnxruntime.so, .dylib or .dll):
//
//	go mod init features && go get github.com/yalue/onnxruntime_go golang.org/x/image/draw
//	go run features.go LIBRARY FOLDER OF mae export --format web, PICTURE
package main

import (
	"encoding/json"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"os"
	"path/filepath"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/image/draw"
)

func check[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	library, folder, picture := os.Args[1], os.Args[2], os.Args[3]
	var config struct {
		Crop struct{ Height, Width int } `json:"crop_size"`
		Mean [3]float32                  `json:"image_mean"`
		Std  [3]float32                  `json:"image_std"`
	}
	text := check(os.ReadFile(filepath.Join(folder, "preprocessor_config.json")))
	check(0, json.Unmarshal(text, &config))
	height, width := config.Crop.Height, config.Crop.Width

	whole, _, err := image.Decode(check(os.Open(picture)))
	check(0, err)
	side := min(whole.Bounds().Dx()*height, whole.Bounds().Dy()*width) // the middle, of the input's shape
	middle := image.Rect(0, 0, side/height, side/width).Add(image.Pt((whole.Bounds().Dx()-side/height)/2, (whole.Bounds().Dy()-side/width)/2))
	pixels := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.CatmullRom.Scale(pixels, pixels.Bounds(), whole, middle.Add(whole.Bounds().Min), draw.Src, nil)
	values := make([]float32, 3*height*width)
	for i := range values {
		channel, place := i/(height*width), i%(height*width)
		values[i] = (float32(pixels.Pix[4*place+channel])/255 - config.Mean[channel]) / config.Std[channel]
	}

	ort.SetSharedLibraryPath(library)
	check(0, ort.InitializeEnvironment())
	input := check(ort.NewTensor(ort.NewShape(1, 3, int64(height), int64(width)), values))
	model := filepath.Join(folder, "onnx", "model.onnx")
	session := check(ort.NewDynamicAdvancedSession(model, []string{"pixel_values"}, []string{"pooler_output"}, nil))
	outputs := []ort.Value{nil}
	check(0, session.Run([]ort.Value{input}, outputs))
	features := outputs[0].(*ort.Tensor[float32]).GetData()
	check(0, json.NewEncoder(os.Stdout).Encode(map[string]any{"picture": picture, "features": features}))
}
