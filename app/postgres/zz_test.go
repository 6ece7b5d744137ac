package postgres
import ("testing";"os";"fmt";"context")
func TestZZ(t *testing.T){
	d := newDatabase(t)
	if err := Seed(context.Background(), d.ownerURL, SeedConfig{Listings: 5000, Seed: 1}); err != nil { t.Fatal(err) }
	pid:=one[int](t,d,`select pg_backend_pid()`)
	cpu:=func() float64 { b,_:=os.ReadFile(fmt.Sprintf("/proc/%d/schedstat",pid)); var r float64; fmt.Sscan(string(b),&r); return r/1000 }
	id:=0
	run:=func(n int) float64 { a:=cpu(); for range n { id=id%5000+1; d.exec(t,`UPDATE listings SET price_minor = price_minor + 100 WHERE id = $1`, id) }; return (cpu()-a)/float64(n) }
	run(200)
	for range 4 {
		w:=run(1000)
		d.exec(t,`set strata.notify=off`); run(10)
		nn:=run(1000)
		d.exec(t,`set strata.notify=on`)
		d.exec(t,`ALTER TABLE listings DISABLE TRIGGER log_update`); run(20)
		o:=run(1000)
		d.exec(t,`ALTER TABLE listings ENABLE ALWAYS TRIGGER log_update`); run(20)
		t.Logf("cpu us with %.0f nonotify %.0f without %.0f", w,nn,o)
	}
}
